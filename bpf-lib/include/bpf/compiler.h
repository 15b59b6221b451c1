/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Attributes, and words about the compiler. */
#pragma once

#define SEC(name) __attribute__((section(name), used))
#define __always_inline inline __attribute__((always_inline))
/* Verifier: a global function is walked once, for any arguments; a static one again for every path that calls it. */
#define __global_function __attribute__((noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
