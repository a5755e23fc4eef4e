"""Threads and memory: the arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.engine.budget import MemoryPlan, ModelSize, Threads, available_memory, require_weights
from runtime.engine.llama import Model
from runtime.errors import ConfigError
from tests.engine.helpers import PROJECTOR_FILE, TEXT_FILE, small_engine

# Qwen2.5-VL 3B: 36 layers, 2 key-value heads of 128
SIZE = ModelSize(layers=36, kv_values=2 * 256, vocabulary=151_936, files=3 << 30)


def plan(cells: int = 32_768, kv_type: str = "f16", aside: tuple[int, int] = (0, 0)) -> MemoryPlan:
    return MemoryPlan.of(SIZE, cells=cells, kv_type=kv_type, outputs=16, batch=512, aside=aside, image_cache_mb=256)


def test_the_kv_cache_costs_36_kib_a_token_at_the_3b_shape() -> None:
    assert plan().kv == 36 * 1024 * 32_768
    assert plan(kv_type="q8_0").kv == pytest.approx(plan().kv * 17 / 32)
    assert "36.0 KB" in plan().describe()


def test_the_second_context_is_counted() -> None:
    more = plan(aside=(2048, 128))
    assert more.total - plan().total == more.aside == 2 * 36 * 1024 * 2048 + 2048 * 128 * 2 + 2 * 151_936 * 4
    assert "images beside streams up to 146 MB" in more.describe()


def test_a_machine_with_less_is_refused_with_the_arithmetic() -> None:
    plan().require(None)
    plan().require(plan().total)
    with pytest.raises(ConfigError, match=r"weights 3,072 MB \+ KV cache 1,152 MB .* 2,048 MB are available"):
        plan().require(2 << 30)


def test_an_engine_that_cannot_fit_is_refused_before_it_allocates() -> None:
    with pytest.raises(ConfigError, match="KV cache"):
        small_engine(context=2_000_000_000)


def test_weights_that_have_no_room_are_not_read(tmp_path: Path) -> None:
    size = TEXT_FILE.stat().st_size
    require_weights(TEXT_FILE, None)
    require_weights(TEXT_FILE, size)
    with pytest.raises(ConfigError, match="its weights take"):
        require_weights(TEXT_FILE, size - 1)
    require_weights(tmp_path / "absent.gguf", 0)  # whoever loads it tells


def test_the_models_own_numbers() -> None:
    model = Model(TEXT_FILE, gpu_layers=0)
    try:
        size = model.size(PROJECTOR_FILE)
        assert (size.layers, size.kv_values, size.vocabulary) == (7, 2 * 2 * 32, model.n_vocab)
        assert size.files == TEXT_FILE.stat().st_size + PROJECTOR_FILE.stat().st_size
    finally:
        model.close()


def test_memory_is_what_kernel_and_control_group_leave(tmp_path: Path) -> None:
    assert available_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:  4096 kB\n")
    assert available_memory(tmp_path) == 4096 * 1024
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1048576\n")
    assert available_memory(tmp_path) == 1 << 20
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert available_memory(tmp_path) == 4096 * 1024


@pytest.mark.parametrize(("asked", "cores"), [(0, 1), (0, 2), (0, 4), (0, 16), (1, 8), (3, 8)])
def test_both_sides_stay_within_cores_and_one(asked: int, cores: int) -> None:
    threads = Threads.choose(asked, cores, 2 << 30)
    assert threads.vision + threads.text_beside_vision <= max(2, (asked or cores) + 1)
    assert min(threads.text, threads.text_beside_vision, threads.vision) >= 1


def test_a_small_model_is_one_threads_work_unless_asked() -> None:
    assert Threads.choose(0, 8, 4 << 20) == Threads(1, 1, 1)
    assert Threads.choose(4, 8, 4 << 20).text == 4
    assert Threads.choose(0, 8, 2 << 30).text == 8
