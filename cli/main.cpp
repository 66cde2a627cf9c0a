// starling: everything but training, without LibTorch.
#include "program.h"

int main(int argc, char** argv) {
  using namespace starling::cli;
  return run_program({"starling",
                      "Starling finds tracks and showers: hits in, tracks or showers out, with graph networks.",
                      {simulate_command, graph_command, reconstruct_command, evaluate_command, info_command,
                       export_command, sensitivity_command, train_command, sweep_command, compress_command}},
                     argc, argv);
}
