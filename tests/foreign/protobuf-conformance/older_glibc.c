/* What the packaged conformance_test_runner takes from glibc 2.38 and libstdc++ 3.4.32; preloaded where those are older
 * (see older_glibc.py). The C23 forms differ from the others by the prefix 0b alone, which the runner does not read. */

long strtol(const char *, char **, int);
long long strtoll(const char *, char **, int);
unsigned long strtoul(const char *, char **, int);
unsigned long long strtoull(const char *, char **, int);

long __isoc23_strtol(const char *text, char **end, int base) { return strtol(text, end, base); }
long long __isoc23_strtoll(const char *text, char **end, int base) { return strtoll(text, end, base); }
unsigned long __isoc23_strtoul(const char *text, char **end, int base) { return strtoul(text, end, base); }
unsigned long long __isoc23_strtoull(const char *text, char **end, int base) { return strtoull(text, end, base); }

/* std::ios_base_library_init(): in older libraries an object of std::ios_base::Init does it. */
extern void _ZNSt8ios_base4InitC1Ev(void *);

void _ZSt21ios_base_library_initv(void) {
    static char object[16];
    static int is_done;
    if (!is_done) {
        is_done = 1;
        _ZNSt8ios_base4InitC1Ev(object);
    }
}
