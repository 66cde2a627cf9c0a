#pragma once

namespace starling::learn {

/// From now on the first SIGINT or SIGTERM is only noted, so that the run can be saved; a second one ends the program.
void note_interrupts();
bool interrupted();

}  // namespace starling::learn
