"""llama.cpp, scheduled; it knows tokens, not chat."""
