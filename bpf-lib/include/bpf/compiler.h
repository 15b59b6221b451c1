/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Attributes, and words about the compiler. */
#pragma once

#define SEC(name) __attribute__((section(name), used))
/*
 * In line, and without lines of its own in BTF, which would take an eighth of clang's time and half of the object: the
 * verifier's log names the line of the call. Leave `nodebug` out to see what is inlined.
 */
#define __always_inline inline __attribute__((always_inline, nodebug))
/*
 * Out of line, for what few packets need: a call costs 10 to 20 ns where returns are guarded against speculation, and
 * code that is there once compiles once. Verifier: a global function is walked once, for any arguments; a static one
 * again for every path that calls it.
 */
#define __noinline __attribute__((noinline))
#define __global_function __noinline
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
