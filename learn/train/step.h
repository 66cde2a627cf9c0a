#pragma once

#include <c10/core/Event.h>
#include <torch/torch.h>

#include <deque>
#include <vector>

#include "learn/train/adamw.h"
#include "learn/train/group.h"

namespace starling::learn {

/// A step of a training: the mean of the gradients of its batches, over all processes of the group. Gradient, loss,
/// what the batches make of the network's buffers, and whether a process is to stop lie in one tensor: one sum over
/// processes.
///
/// Each batch finds the buffers as they were before the step, and they become the mean of what the batches make of
/// them. So nothing but the rounding of sums depends on how the batches are distributed over processes.
class Step {
 public:
  /// `batch` is the number of batches per step of all processes. The network lies on the group's device.
  Step(torch::nn::Module& network, Group& group, int batch);

  void begin();
  /// Adds the gradient of a batch; an undefined loss adds nothing.
  void add(const torch::Tensor& loss);
  /// Sums over processes and moves the parameters, unless no batch had a loss. `stop` asks for an end of the training.
  void end(AdamW& optimiser, double rate, bool stop);

  /// The sum of the losses of the last step, on the device.
  const torch::Tensor& loss() const { return loss_; }

  /// Whether the training is to stop after the last step, in all processes: as one of them asked for in this step, or
  /// on a GPU in an earlier one, so that none waits for its device.
  bool stops();

 private:
  struct Question {
    torch::Tensor stop;  // in pinned memory
    c10::Event ready;
  };

  Group& group_;
  torch::Tensor parameter_;
  std::vector<torch::Tensor> buffers_, before_, changes_;
  int batch_, with_loss_ = 0;
  bool stop_asked_ = false;
  torch::Tensor sums_, gradient_, loss_, losses_, stop_;  // views of the first one; losses_: how many there are
  std::deque<Question> questions_;
};

}  // namespace starling::learn
