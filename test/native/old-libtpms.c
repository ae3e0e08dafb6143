/* A library that says it is libtpms 0.8.3. */
unsigned int TPMLIB_GetVersion(void) { return 0x000803; }
