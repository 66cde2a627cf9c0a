#include "learn/train/step.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

#include "learn/train/checkpoint.h"

namespace starling::learn {

Step::Step(torch::nn::Module& network, Group& group, int batch)
    : group_(group), parameter_(flat_parameter(network)), batch_(batch) {
  if (batch > 1) buffers_ = network.buffers();
  std::int64_t size = parameter_.numel() + 3;
  for (const torch::Tensor& buffer : buffers_) size += buffer.numel();
  sums_ = torch::zeros({size}, parameter_.options().requires_grad(false));
  std::int64_t at = 0;
  const auto next = [&](const torch::Tensor& like) {
    at += like.numel();
    return sums_.narrow(0, at - like.numel(), like.numel()).view(like.sizes());
  };
  gradient_ = next(parameter_);
  for (const torch::Tensor& buffer : buffers_) changes_.push_back(next(buffer));
  const torch::Tensor scalar = torch::empty({}, parameter_.options());
  for (torch::Tensor* const one : {&loss_, &losses_, &stop_}) *one = next(scalar);
}

void Step::begin() {
  const torch::NoGradGuard guard;
  sums_.zero_();
  parameter_.mutable_grad() = gradient_;
  before_.clear();
  for (const torch::Tensor& buffer : buffers_) before_.push_back(buffer.clone());
  with_loss_ = 0;
}

void Step::add(const torch::Tensor& loss) {
  if (loss.defined()) {
    loss.backward();
    loss_ += loss.detach();
    ++with_loss_;
  }
  const torch::NoGradGuard guard;
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    changes_[i] += buffers_[i] - before_[i];
    buffers_[i].copy_(before_[i]);
  }
}

void Step::end(AdamW& optimiser, double rate, bool stop) {
  const torch::NoGradGuard guard;
  stop_asked_ = stop;
  if (group_.alone() && with_loss_ == 0) return;
  if (!group_.alone()) {
    losses_.fill_(with_loss_);
    if (stop) stop_.fill_(1);
    group_.sum(sums_);
  }
  if (batch_ > 1) gradient_.div_(batch_);
  for (std::size_t i = 0; i < buffers_.size(); ++i) buffers_[i].add_(changes_[i].div_(batch_));
  if (group_.alone()) {
    optimiser.step(rate);
  } else {
    optimiser.step(rate, losses_.eq(0).to(torch::kFloat));
  }
}

bool Step::stops() {
  if (group_.alone()) return stop_asked_;
  if (!group_.device().is_cuda()) return stop_.item<float>() > 0;
  // The answers of a few steps are under way.
  constexpr std::size_t kAhead = 4;
  const c10::impl::VirtualGuardImpl device(group_.device().type());
  Question question{torch::empty({}, torch::dtype(torch::kFloat).pinned_memory(true)),
                    c10::Event(group_.device().type())};
  question.stop.copy_(stop_, /*non_blocking=*/true);
  question.ready.record(device.getStream(group_.device()));
  questions_.push_back(std::move(question));
  if (questions_.size() <= kAhead) return false;
  questions_.front().ready.synchronize();
  const bool result = questions_.front().stop.item<float>() > 0;
  questions_.pop_front();
  return result;
}

}  // namespace starling::learn
