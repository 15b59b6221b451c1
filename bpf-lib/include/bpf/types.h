/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Integers of the datapath. A be16 or be32 is in network order, everything else in host order. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef int s32;
typedef long long s64;
typedef u16 be16;
typedef u32 be32;
typedef u64 be64;
typedef _Bool bool;

_Static_assert(sizeof(u64) == 8 && sizeof(void *) == 8, "this is not the bpf target");

#define true 1
#define false 0
#define NULL ((void *)0)
