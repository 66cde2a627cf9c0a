# Two commands set everything up on a fresh machine; the work is done by scripts/ and the CMake presets.
.PHONY: demo test format

# Builds the torch-free program and reconstructs simulated events, or the user's: make demo EVENT=path/event000001000
demo:
	@EVENT="$(EVENT)" scripts/demo

# Sets up .venv, builds everything and runs every test.
test:
	@scripts/test

format:
	git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' | xargs clang-format -i
