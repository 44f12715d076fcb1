// Runs one version in the simulator: operands from files, the result to a file.
//
//   program <m> <n> <k> <pitch of a> <of b> <of y> <bytes of an element> <a> <b> <y>
//
// Pitches are in elements. In the counters flavour it prints the memory requests as well.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

extern "C" const char* lab_matmul(const void* a, const void* b, void* y, const int64_t* sizes,
                                  void* stream);

namespace gg::sim {
void print_counters() __attribute__((weak));  // there in the counters flavour
}

namespace {

using Memory = std::unique_ptr<unsigned char[], decltype(&free)>;

/// Aligned as cudaMalloc's, and of exactly this size, so that AddressSanitizer sees the edge.
Memory allocate(int64_t bytes) {
  void* p = nullptr;
  if (posix_memalign(&p, 256, static_cast<size_t>(bytes)) != 0) abort();
  memset(p, 0xff, static_cast<size_t>(bytes));
  return Memory(static_cast<unsigned char*>(p), free);
}

void move(const char* path, const char* mode, unsigned char* data, int64_t bytes) {
  FILE* const file = fopen(path, mode);
  const auto size = static_cast<size_t>(bytes);
  const size_t done = !file            ? 0
                      : mode[0] == 'r' ? fread(data, 1, size, file)
                                       : fwrite(data, 1, size, file);
  if (!file || done != size || fclose(file) != 0) {
    fprintf(stderr, "cannot move %zu bytes: %s\n", size, path);
    exit(2);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 11) return 2;
  int64_t sizes[7];
  for (int i = 0; i < 7; i++) sizes[i] = strtoll(argv[i + 1], nullptr, 10);
  const int64_t a_bytes = sizes[0] * sizes[3] * sizes[6], b_bytes = sizes[2] * sizes[4] * sizes[6],
                y_bytes = sizes[0] * sizes[5] * sizes[6];
  const Memory a = allocate(a_bytes), b = allocate(b_bytes), y = allocate(y_bytes);
  move(argv[8], "rb", a.get(), a_bytes);
  move(argv[9], "rb", b.get(), b_bytes);
  if (const char* error = lab_matmul(a.get(), b.get(), y.get(), sizes, nullptr)) {
    fprintf(stderr, "%s\n", error);
    return 1;
  }
  move(argv[10], "wb", y.get(), y_bytes);
  if (gg::sim::print_counters) gg::sim::print_counters();
  printf("ok matmul\n");
}
