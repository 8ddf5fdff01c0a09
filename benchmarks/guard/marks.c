/* What a counted process tells valgrind: begin to count, and write down what was counted. */
#include <valgrind/callgrind.h>

void begin(void) {
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
}

/* Write the instructions since the last mark to a file of their own. */
void mark(void) { CALLGRIND_DUMP_STATS; }
