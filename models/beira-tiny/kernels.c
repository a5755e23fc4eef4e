/* What a block computes beside its products of matrices, and attention: for processors that multiply tiles of bfloat16 (AMX).

   Heads are of 32 values, which is one tile's depth. Widths are multiples of 16. bfloat16 is stored as its upper 16 bits.
   kernels.py loads this, and says what each function's arrays are. */
#define _GNU_SOURCE
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef uint16_t half;
enum { HEAD = 32, TILE = 512 };  /* TILE: halves of a tile, 16 rows of 32 */

static inline __m512 wide(const half *p) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16)); }
static inline void narrow(half *p, __m512 v) { _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(v)); }

/* 2^x, to 1e-5 of it */
static inline __m512 exp2_(__m512 x)
{
	__m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), f = _mm512_sub_ps(x, whole);
	__m512 p = _mm512_set1_ps(0.0096181f);
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.0555041f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.2402265f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.6931472f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
	return _mm512_scalef_ps(p, whole);
}
static const float LOG2E = 1.44269504f;

/* Whether the system lets this process use tiles. */
int has_tiles(void) { return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* XTILEDATA */) == 0; }

static void configure(void)
{
	struct { uint8_t palette, start, zero[14]; uint16_t width[16]; uint8_t rows[16]; } c = { .palette = 1 };
	for (int i = 0; i < 8; i++)
		c.width[i] = 64, c.rows[i] = 16;
	_tile_loadconfig(&c);
}

/* y = norm(x + added + bias) * weight; that sum is kept where something is added. */
void norm(const float *x, const half *added, const float *bias, const float *weight, long n, long width, float eps, float *sum, half *y, float *scale)
{
	for (long t = 0; t < n; t++, x += width, y += width) {
		__m512 squares = _mm512_setzero_ps();
		const float *row = x;
		if (added) {
			for (long i = 0; i < width; i += 16) {
				__m512 v = _mm512_add_ps(_mm512_loadu_ps(x + i), wide(added + t * width + i));
				if (bias)
					v = _mm512_add_ps(v, _mm512_loadu_ps(bias + i));
				_mm512_storeu_ps(sum + t * width + i, v);
				squares = _mm512_fmadd_ps(v, v, squares);
			}
			row = sum + t * width;
		} else
			for (long i = 0; i < width; i += 16) {
				__m512 v = _mm512_loadu_ps(x + i);
				squares = _mm512_fmadd_ps(v, v, squares);
			}
		scale[t] = 1 / sqrtf(_mm512_reduce_add_ps(squares) / width + eps);
		for (long i = 0; i < width; i += 16)
			narrow(y + i, _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps(row + i), _mm512_set1_ps(scale[t])), _mm512_loadu_ps(weight + i)));
	}
}

/* dx = kept + what comes back through the norm; dweight is added to. */
void norm_back(const half *dy, const float *x, const float *weight, const float *scale, const float *kept, long n, long width, float *dx, float *dweight, half *dx_half)
{
	for (long t = 0; t < n; t++, dy += width, x += width, dx += width) {
		__m512 dot = _mm512_setzero_ps(), s = _mm512_set1_ps(scale[t]);
		for (long i = 0; i < width; i += 16) {
			__m512 g = wide(dy + i), v = _mm512_mul_ps(_mm512_loadu_ps(x + i), s);
			_mm512_storeu_ps(dweight + i, _mm512_fmadd_ps(g, v, _mm512_loadu_ps(dweight + i)));
			dot = _mm512_fmadd_ps(_mm512_mul_ps(g, _mm512_loadu_ps(weight + i)), v, dot);
		}
		__m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(dot) / width);
		for (long i = 0; i < width; i += 16) {
			__m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + i), s);
			__m512 g = _mm512_fnmadd_ps(v, mean, _mm512_mul_ps(wide(dy + i), _mm512_loadu_ps(weight + i)));
			__m512 made = _mm512_mul_ps(g, s);
			if (kept)
				made = _mm512_add_ps(made, _mm512_loadu_ps(kept + t * width + i));
			_mm512_storeu_ps(dx + i, made);
			if (dx_half)
				narrow(dx_half + t * width + i, made);
		}
	}
}

/* x + added + bias */
void add(const float *x, const half *added, const float *bias, long n, long width, float *y)
{
	for (long t = 0; t < n; t++)
		for (long i = 0; i < width; i += 16, x += 16, added += 16, y += 16) {
			__m512 v = _mm512_add_ps(_mm512_loadu_ps(x), wide(added));
			_mm512_storeu_ps(y, bias ? _mm512_add_ps(v, _mm512_loadu_ps(bias + i)) : v);
		}
}

/* sums += of each column */
void columns(const half *x, long n, long width, float *sums)
{
	for (long t = 0; t < n; t++)
		for (long i = 0; i < width; i += 16, x += 16)
			_mm512_storeu_ps(sums + i, _mm512_add_ps(_mm512_loadu_ps(sums + i), wide(x)));
}

/* The first `turned` heads of each row turned by its angles, of these the first `queries` scaled by 1 / sqrt(HEAD); in place, a bias first. */
void turn(half *x, const float *bias, const float *cosines, const float *sines, long n, long heads, long turned, long queries)
{
	for (long t = 0; t < n; t++, cosines += 16, sines += 16)
		for (long h = 0; h < heads; h++, x += HEAD) {
			__m512 a = _mm512_add_ps(wide(x), _mm512_loadu_ps(bias + h * HEAD)), b = _mm512_add_ps(wide(x + 16), _mm512_loadu_ps(bias + h * HEAD + 16));
			if (h < turned) {
				__m512 s = _mm512_set1_ps(h < queries ? 0.17677670f : 1.0f);
				__m512 c = _mm512_mul_ps(_mm512_loadu_ps(cosines), s), d = _mm512_mul_ps(_mm512_loadu_ps(sines), s);
				__m512 first = _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, d));
				b = _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, d)), a = first;
			}
			narrow(x, a), narrow(x + 16, b);
		}
}

/* And back. */
void turn_back(half *x, const float *cosines, const float *sines, long n, long heads, long turned, long queries, float *dbias)
{
	for (long t = 0; t < n; t++, cosines += 16, sines += 16)
		for (long h = 0; h < heads; h++, x += HEAD) {
			__m512 a = wide(x), b = wide(x + 16);
			if (h < turned) {
				__m512 s = _mm512_set1_ps(h < queries ? 0.17677670f : 1.0f);
				__m512 c = _mm512_mul_ps(_mm512_loadu_ps(cosines), s), d = _mm512_mul_ps(_mm512_loadu_ps(sines), s);
				__m512 first = _mm512_fmadd_ps(a, c, _mm512_mul_ps(b, d));
				b = _mm512_fmsub_ps(b, c, _mm512_mul_ps(a, d)), a = first;
				narrow(x, a), narrow(x + 16, b);
			}
			float *sums = dbias + h * HEAD;
			_mm512_storeu_ps(sums, _mm512_add_ps(_mm512_loadu_ps(sums), a));
			_mm512_storeu_ps(sums + 16, _mm512_add_ps(_mm512_loadu_ps(sums + 16), b));
		}
}

/* silu(gate) * up of rows of both side by side, each of `width`, their bias added first, in place. */
void gated(half *both, const float *bias, long n, long width, half *y)
{
	const __m512 one = _mm512_set1_ps(1);
	for (long t = 0; t < n; t++, both += 2 * width, y += width)
		for (long i = 0; i < width; i += 16) {
			__m512 g = wide(both + i), u = wide(both + width + i);
			if (bias) {
				g = _mm512_add_ps(g, _mm512_loadu_ps(bias + i)), u = _mm512_add_ps(u, _mm512_loadu_ps(bias + width + i));
				narrow(both + i, g), narrow(both + width + i, u);
			}
			__m512 e = exp2_(_mm512_mul_ps(_mm512_max_ps(g, _mm512_set1_ps(-80)), _mm512_set1_ps(-LOG2E)));
			narrow(y + i, _mm512_div_ps(_mm512_mul_ps(g, u), _mm512_add_ps(one, e)));
		}
}

/* In place: of `both` what comes back to it. */
void gated_back(half *both, const half *dy, long n, long width, float *dbias)
{
	const __m512 one = _mm512_set1_ps(1);
	for (long t = 0; t < n; t++, both += 2 * width, dy += width)
		for (long i = 0; i < width; i += 16) {
			__m512 g = wide(both + i), u = wide(both + width + i), d = wide(dy + i);
			__m512 e = exp2_(_mm512_mul_ps(_mm512_max_ps(g, _mm512_set1_ps(-80)), _mm512_set1_ps(-LOG2E)));
			__m512 s = _mm512_div_ps(one, _mm512_add_ps(one, e)), silu = _mm512_mul_ps(g, s);
			/* s * (1 + g * (1 - s)) */
			__m512 slope = _mm512_mul_ps(s, _mm512_fmadd_ps(g, _mm512_sub_ps(one, s), one));
			__m512 du = _mm512_mul_ps(d, silu), dg = _mm512_mul_ps(_mm512_mul_ps(d, u), slope);
			narrow(both + i, dg), narrow(both + width + i, du);
			if (dbias) {
				_mm512_storeu_ps(dbias + i, _mm512_add_ps(_mm512_loadu_ps(dbias + i), dg));
				_mm512_storeu_ps(dbias + width + i, _mm512_add_ps(_mm512_loadu_ps(dbias + width + i), du));
			}
		}
}

/* 16 rows, of which `there` are there, each of 16 pairs of halves, to their pairs' rows. */
static void transposed(const half *x, long stride, long there, half *y)
{
	__m512i index = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32((int)(stride / 2)));
	__mmask16 mask = there >= 16 ? 0xffff : (__mmask16)((1u << there) - 1);
	for (int p = 0; p < 16; p++)
		_mm512_storeu_si512(y + p * 32, _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), mask, index, (const int *)x + p, 4));
}

static __m512i pairing(int first)
{
	uint16_t i[32];
	for (int k = 0; k < 16; k++)
		i[2 * k] = first + k, i[2 * k + 1] = 32 + first + k;
	return _mm512_loadu_si512(i);
}

/* 32 rows to the two tiles, of 16 columns each, in which two rows' values stand side by side. */
static void paired(const half *x, long stride, long there, half *y)
{
	const __m512i low = pairing(0), high = pairing(16);
	for (int p = 0; p < 16; p++) {
		__m512i a = 2 * p < there ? _mm512_loadu_si512(x + 2 * p * stride) : _mm512_setzero_si512();
		__m512i b = 2 * p + 1 < there ? _mm512_loadu_si512(x + (2 * p + 1) * stride) : _mm512_setzero_si512();
		_mm512_storeu_si512(y + p * 32, _mm512_permutex2var_epi16(a, low, b));
		_mm512_storeu_si512(y + TILE + p * 32, _mm512_permutex2var_epi16(a, high, b));
	}
}

/* 32 rows, one behind the other, zeros where there are none. */
static void copied(const half *x, long stride, long there, half *y)
{
	for (long r = 0; r < 32; r++)
		_mm512_storeu_si512(y + r * HEAD, r < there ? _mm512_loadu_si512(x + r * stride) : _mm512_setzero_si512());
}

/* Those 32 rows to 32 columns. */
static void across(const half *x, half *y)
{
	half pairs[2][TILE];
	uint16_t i[32], j[32];
	for (int k = 0; k < 32; k++)
		i[k] = 2 * k, j[k] = 2 * k + 1;
	__m512i even = _mm512_loadu_si512(i), odd = _mm512_loadu_si512(j);
	transposed(x, HEAD, 16, pairs[0]), transposed(x + TILE, HEAD, 16, pairs[1]);
	for (int p = 0; p < 16; p++) {
		__m512i a = _mm512_loadu_si512(pairs[0] + p * 32), b = _mm512_loadu_si512(pairs[1] + p * 32);
		_mm512_storeu_si512(y + 2 * p * 32, _mm512_permutex2var_epi16(a, even, b));
		_mm512_storeu_si512(y + (2 * p + 1) * 32, _mm512_permutex2var_epi16(a, odd, b));
	}
}

static void *room(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }

static long longest(const int32_t *segments, long count)
{
	long most = 0;
	for (long i = 0; i < count; i++)
		most = segments[2 * i + 1] > most ? segments[2 * i + 1] : most;
	return (most + 31) / 32 * 32;
}

/* What `heads` queries gather from `shared` keys' and values' heads within each segment (start, length), from those before them alone or all. */
int attend(const half *q, const half *k, const half *v, long stride, long heads, long shared, const int32_t *segments, long count, int causal, half *out, float *logs)
{
	uint8_t before[64] __attribute__((aligned(64)));
	long most = longest(segments, count);
	half *turned = room(most * HEAD * 2), *pairs = room(most * HEAD * 2), *p = room(16 * most * 2);
	float *s = room(16 * most * 4), *made = room(16 * HEAD * 4);
	half rows[2 * TILE] __attribute__((aligned(64)));
	if (!turned || !pairs || !p || !s || !made)
		return -1;
	_tile_storeconfig(before);
	configure();
	for (long i = 0; i < count; i++) {
		long start = segments[2 * i], n = segments[2 * i + 1];
		for (long g = 0; g < shared; g++) {
			const half *keys = k + start * stride + g * HEAD, *values = v + start * stride + g * HEAD;
			for (long a = 0; a < n; a += 16)
				transposed(keys + a * stride, stride, n - a, turned + a * HEAD);
			if (n % 32 && n % 32 <= 16)
				memset(turned + (n / 32 * 32 + 16) * HEAD, 0, TILE * 2);
			for (long a = 0; a < n; a += 32)
				paired(values + a * stride, stride, n - a, pairs + a * HEAD);
			for (long h = g * (heads / shared); h < (g + 1) * (heads / shared); h++)
				for (long a = 0; a < n; a += 16) {
					long there = n - a < 16 ? n - a : 16, all = causal && a + 16 < n ? a + 16 : n;
					const half *mine = q + (start + a) * stride + h * HEAD;
					if (there == 16) {
						_tile_loadd(0, mine, stride * 2);
					} else {
						copied(mine, stride, there, rows);
						_tile_loadd(0, rows, 64);
					}
					for (long b = 0; b < all; b += 32) {
						_tile_zero(1); _tile_zero(2);
						_tile_loadd(3, turned + b * HEAD, 64); _tile_loadd(4, turned + b * HEAD + TILE, 64);
						_tile_dpbf16ps(1, 0, 3); _tile_dpbf16ps(2, 0, 4);
						_tile_stored(1, s + b, most * 4); _tile_stored(2, s + b + 16, most * 4);
					}
					float share[16];
					for (long r = 0; r < 16; r++) {
						float *row = s + r * most;
						long seen = r >= there ? 0 : causal ? a + r + 1 : n, b = 0;
						__m512 top = _mm512_set1_ps(-3e38f), sum = _mm512_setzero_ps();
						for (; b + 16 <= seen; b += 16)
							top = _mm512_max_ps(top, _mm512_loadu_ps(row + b));
						__mmask16 rest = (__mmask16)((1u << (seen - b)) - 1);
						top = _mm512_mask_max_ps(top, rest, top, _mm512_loadu_ps(row + b));
						float most_ = seen ? _mm512_reduce_max_ps(top) * LOG2E : 0;
						top = _mm512_set1_ps(most_);
						for (b = 0; b + 16 <= seen; b += 16) {
							__m512 e = exp2_(_mm512_fmsub_ps(_mm512_loadu_ps(row + b), _mm512_set1_ps(LOG2E), top));
							sum = _mm512_add_ps(sum, e);
							narrow(p + r * most + b, e);
						}
						for (; b < (all + 31) / 32 * 32; b += 16, rest = 0) {
							__m512 e = rest ? _mm512_maskz_mov_ps(rest, exp2_(_mm512_fmsub_ps(_mm512_loadu_ps(row + b), _mm512_set1_ps(LOG2E), top))) : _mm512_setzero_ps();
							sum = _mm512_add_ps(sum, e);
							narrow(p + r * most + b, e);
						}
						float total = _mm512_reduce_add_ps(sum);
						share[r] = total > 0 ? 1 / total : 0;
						if (r < there)
							logs[(start + a + r) * heads + h] = most_ + log2f(total);
					}
					_tile_zero(1); _tile_zero(2);
					for (long b = 0; b < all; b += 32) {
						_tile_loadd(0, p + b, most * 2);
						_tile_loadd(3, pairs + b * HEAD, 64); _tile_loadd(4, pairs + b * HEAD + TILE, 64);
						_tile_dpbf16ps(1, 0, 3); _tile_dpbf16ps(2, 0, 4);
					}
					_tile_stored(1, made, HEAD * 4); _tile_stored(2, made + 16, HEAD * 4);
					for (long r = 0; r < there; r++) {
						half *to = out + ((start + a + r) * heads + h) * HEAD;
						__m512 w = _mm512_set1_ps(share[r]);
						narrow(to, _mm512_mul_ps(_mm512_loadu_ps(made + r * HEAD), w)), narrow(to + 16, _mm512_mul_ps(_mm512_loadu_ps(made + r * HEAD + 16), w));
					}
				}
		}
	}
	_tile_release();
	if (before[0])
		_tile_loadconfig(before);
	free(turned), free(pairs), free(p), free(s), free(made);
	return 0;
}

/* C (4 tiles of 16 x 16) += A (2 tiles, one below the other) B (2 tiles side by side) */
static inline void multiply(const half *a, const half *b, float *c, int is_first)
{
	if (is_first) {
		_tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
	} else {
		_tile_loadd(0, c, 64); _tile_loadd(1, c + 256, 64); _tile_loadd(2, c + 512, 64); _tile_loadd(3, c + 768, 64);
	}
	_tile_loadd(4, a, 64); _tile_loadd(5, a + TILE, 64); _tile_loadd(6, b, 64); _tile_loadd(7, b + TILE, 64);
	_tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7); _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
	_tile_stored(0, c, 64); _tile_stored(1, c + 256, 64); _tile_stored(2, c + 512, 64); _tile_stored(3, c + 768, 64);
}

/* Two rows of floats to bfloat16 side by side. */
static inline __m512i beside(__m512 a, __m512 b)
{
	__m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(a)), high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(b));
	return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

/* What comes back to queries, keys and values, which have the layout of these. */
int attend_back(const half *q, const half *k, const half *v, long stride, long heads, long shared, const int32_t *segments, long count, int causal, const half *out, const half *dout,
	const float *logs, half *dq, half *dk, half *dv)
{
	uint8_t before[64] __attribute__((aligned(64)));
	long most = longest(segments, count);
	size_t part = most * HEAD;
	half *turned = room(part * 2), *pairs = room(part * 2), *values_turned = room(part * 2);
	float *keys_back = room(part * 4), *values_back = room(part * 4);
	half rows[2 * TILE] __attribute__((aligned(64))), drows[2 * TILE] __attribute__((aligned(64))), columns_[2 * TILE] __attribute__((aligned(64))), dcolumns[2 * TILE] __attribute__((aligned(64)));
	half by_row[2 * TILE] __attribute__((aligned(64))), by_pair[2 * TILE] __attribute__((aligned(64))), shares[2 * TILE] __attribute__((aligned(64)));
	float s[1024] __attribute__((aligned(64))), d[1024] __attribute__((aligned(64))), back[1024] __attribute__((aligned(64))), log_[32], dot[32];
	if (!turned || !pairs || !values_turned || !keys_back || !values_back)
		return -1;
	_tile_storeconfig(before);
	configure();
	for (long i = 0; i < count; i++) {
		long start = segments[2 * i], n = segments[2 * i + 1];
		for (long g = 0; g < shared; g++) {
			const half *keys = k + start * stride + g * HEAD, *values = v + start * stride + g * HEAD;
			for (long a = 0; a < (n + 31) / 32 * 32; a += 16) {
				long there = n - a > 0 ? n - a : 0;
				transposed(keys + a * stride, stride, there, turned + a * HEAD);
				transposed(values + a * stride, stride, there, values_turned + a * HEAD);
			}
			for (long a = 0; a < n; a += 32)
				paired(keys + a * stride, stride, n - a, pairs + a * HEAD);
			memset(keys_back, 0, (n + 31) / 32 * 32 * HEAD * 4), memset(values_back, 0, (n + 31) / 32 * 32 * HEAD * 4);
			for (long h = g * (heads / shared); h < (g + 1) * (heads / shared); h++)
				for (long a = 0; a < n; a += 32) {
					long there = n - a < 32 ? n - a : 32, all = causal && a + 32 < n ? a + 32 : n;
					copied(q + (start + a) * stride + h * HEAD, stride, there, rows);
					copied(dout + ((start + a) * heads + h) * HEAD, heads * HEAD, there, drows);
					across(rows, columns_), across(drows, dcolumns);
					for (long r = 0; r < 32; r++) {
						log_[r] = 1e30f, dot[r] = 0;
						if (r < there) {
							const half *o = out + ((start + a + r) * heads + h) * HEAD;
							log_[r] = logs[(start + a + r) * heads + h];
							dot[r] = _mm512_reduce_add_ps(_mm512_fmadd_ps(wide(o), wide(drows + r * HEAD), _mm512_mul_ps(wide(o + 16), wide(drows + r * HEAD + 16))));
						}
					}
					for (long b = 0; b < all; b += 32) {
						multiply(rows, turned + b * HEAD, s, 1);
						multiply(drows, values_turned + b * HEAD, d, 1);
						int is_cut = b + 32 > n || (causal && b + 32 > a);
						for (long r = 0; r < 32; r += 2)
							for (long c = 0; c < 2; c++) {
								const float *at = s + ((r >= 16) * 2 + c) * 256 + (r % 16) * 16, *dat = d + (at - s);
								__m512 l = _mm512_set1_ps(LOG2E);
								__m512 p0 = exp2_(_mm512_fmsub_ps(_mm512_loadu_ps(at), l, _mm512_set1_ps(log_[r])));
								__m512 p1 = exp2_(_mm512_fmsub_ps(_mm512_loadu_ps(at + 16), l, _mm512_set1_ps(log_[r + 1])));
								if (is_cut) {
									long seen0 = (causal && a + r + 1 < n ? a + r + 1 : n) - b - 16 * c, seen1 = (causal && a + r + 2 < n ? a + r + 2 : n) - b - 16 * c;
									p0 = _mm512_maskz_mov_ps(seen0 >= 16 ? 0xffff : seen0 <= 0 ? 0 : (__mmask16)((1u << seen0) - 1), p0);
									p1 = _mm512_maskz_mov_ps(seen1 >= 16 ? 0xffff : seen1 <= 0 ? 0 : (__mmask16)((1u << seen1) - 1), p1);
								}
								__m512 d0 = _mm512_mul_ps(p0, _mm512_sub_ps(_mm512_loadu_ps(dat), _mm512_set1_ps(dot[r])));
								__m512 d1 = _mm512_mul_ps(p1, _mm512_sub_ps(_mm512_loadu_ps(dat + 16), _mm512_set1_ps(dot[r + 1])));
								narrow(by_row + r * 32 + c * 16, d0), narrow(by_row + (r + 1) * 32 + c * 16, d1);
								_mm512_store_si512(by_pair + c * TILE + r / 2 * 32, beside(d0, d1));
								_mm512_store_si512(shares + c * TILE + r / 2 * 32, beside(p0, p1));
							}
						multiply(by_row, pairs + b * HEAD, back, b == 0);
						multiply(columns_, by_pair, keys_back + b * HEAD, 0);
						multiply(dcolumns, shares, values_back + b * HEAD, 0);
					}
					for (long r = 0; r < there; r++) {
						half *to = dq + (start + a + r) * stride + h * HEAD;
						const float *at = back + (r >= 16) * 512 + r % 16 * 16;
						narrow(to, _mm512_loadu_ps(at)), narrow(to + 16, _mm512_loadu_ps(at + 256));
					}
				}
			const __m512i down = _mm512_slli_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), 4);
			for (long a = 0; a < n; a++) {  /* of four tiles: 16 of the head's values by 16 keys */
				long at = a / 32 * 32 * HEAD + (a % 32 >= 16) * 256 + a % 16;
				half *to = dk + (start + a) * stride + g * HEAD;
				narrow(to, _mm512_i32gather_ps(down, keys_back + at, 4)), narrow(to + 16, _mm512_i32gather_ps(down, keys_back + at + 512, 4));
				to = dv + (start + a) * stride + g * HEAD;
				narrow(to, _mm512_i32gather_ps(down, values_back + at, 4)), narrow(to + 16, _mm512_i32gather_ps(down, values_back + at + 512, 4));
			}
		}
	}
	_tile_release();
	if (before[0])
		_tile_loadconfig(before);
	free(turned), free(pairs), free(values_turned), free(keys_back), free(values_back);
	return 0;
}
