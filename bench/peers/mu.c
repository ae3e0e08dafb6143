/*
 * Measures how long libtss2-mu takes to decode and encode structures. `mu HEX-OF-TPM2B_PUBLIC HEX-OF-TPMS_ATTEST` prints
 * nanoseconds of CPU time as JSON: { "readPublic", "readAttest", "writePublic" }.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tss2/tss2_mu.h>

#define TIMES 200000

static double cpu_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

static size_t from_hex(const char *hex, uint8_t *bytes) {
  size_t size = strlen(hex) / 2;
  for (size_t i = 0; i < size; i++) {
    char two[3] = {hex[2 * i], hex[2 * i + 1], 0};
    bytes[i] = strtol(two, NULL, 16);
  }
  return size;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  static uint8_t area[4096], attest[4096], out[4096];
  size_t area_size = from_hex(argv[1], area), attest_size = from_hex(argv[2], attest), offset;
  TPM2B_PUBLIC public;
  TPMS_ATTEST read;
  int failed = 0;
  double begin = cpu_ns();
  for (int i = 0; i < TIMES; i++) {
    public.size = 0;
    offset = 0;
    failed |= Tss2_MU_TPM2B_PUBLIC_Unmarshal(area, area_size, &offset, &public) != 0;
  }
  double read_public = cpu_ns() - begin;
  begin = cpu_ns();
  for (int i = 0; i < TIMES; i++) {
    offset = 0;
    failed |= Tss2_MU_TPMS_ATTEST_Unmarshal(attest, attest_size, &offset, &read) != 0;
  }
  double read_attest = cpu_ns() - begin;
  begin = cpu_ns();
  for (int i = 0; i < TIMES; i++) {
    offset = 0;
    failed |= Tss2_MU_TPM2B_PUBLIC_Marshal(&public, out, sizeof out, &offset) != 0;
  }
  double write_public = cpu_ns() - begin;
  if (failed || offset != area_size || memcmp(out, area, area_size) != 0) return 1;
  printf("{\"readPublic\":%.1f,\"readAttest\":%.1f,\"writePublic\":%.1f}\n", read_public / TIMES, read_attest / TIMES,
         write_public / TIMES);
  return 0;
}
