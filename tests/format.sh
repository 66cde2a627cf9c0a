#!/usr/bin/env bash
# usage: format.sh SOURCE_DIR   every C++ and CUDA file is as clang-format leaves it.
cd "$1" && find include src cli learn tests bench examples \( -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 clang-format --dry-run -Werror
