// Runs the cases of the files it is linked with.

#include "check.h"

int main(int argc, char** argv) {
  return check::main(argc, argv);
}
