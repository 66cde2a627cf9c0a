// A loop whose bodies race: what the sanitizer must find, or the other tests of this build could not fail.
#include <tbb/parallel_for.h>

#include <cstdio>

int main() {
  int sum = 0;
  tbb::parallel_for(0, 100, [&](int i) { sum += i; });
  std::printf("%d\n", sum);
}
