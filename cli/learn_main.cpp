// starling-learn: what needs LibTorch. `starling train` runs it.
#include "program.h"

int main(int argc, char** argv) {
  using namespace starling::cli;
  return run_program({"starling-learn",
                      "Training of Starling's networks; `starling train` and the like run this program.",
                      {training_command, sweeping_command, compressing_command}},
                     argc, argv);
}
