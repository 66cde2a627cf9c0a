#pragma once

namespace starling::learn {

/// The learning rate over the epochs: linear warm-up, step decay, floor (docs/definitions.md, Training).
struct Schedule {
  double learning_rate = 5e-4, min_learning_rate = 5e-6, decay = 0.9;
  int warmup_epochs = 5, decay_epochs = 15;

  /// The rate of an epoch, counted from 0.
  double rate(int epoch) const;
};

}  // namespace starling::learn
