#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

// What torch/csrc/distributed/c10d/ProcessGroupGloo.hpp names of Gloo, whose own headers are not in PyTorch's wheels.
// The group's size and its calls depend on pointers to these classes alone; only libtorch_cpu.so knows what they are.
namespace gloo {

struct Context {
  void setTimeout(std::chrono::milliseconds timeout);
};

namespace transport {
class Device;
class UnboundBuffer;
}  // namespace transport

namespace rendezvous {
class Store {
 public:
  virtual ~Store();
  virtual void set(const std::string& key, const std::vector<char>& value) = 0;
  virtual std::vector<char> get(const std::string& key) = 0;
  virtual void wait(const std::vector<std::string>& keys) = 0;
  virtual void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& timeout) = 0;
};
}  // namespace rendezvous

}  // namespace gloo
