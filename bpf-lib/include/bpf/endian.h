/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Network order to host order and back. The objects are little endian, as every host we build for. */
#pragma once

#include "bpf/compiler.h"
#include "bpf/types.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the target must be little endian");

static __always_inline u16 ntohs(be16 value)
{
	return __builtin_bswap16(value);
}

static __always_inline be16 htons(u16 value)
{
	return __builtin_bswap16(value);
}

static __always_inline u32 ntohl(be32 value)
{
	return __builtin_bswap32(value);
}

static __always_inline u64 ntohll(be64 value)
{
	return __builtin_bswap64(value);
}
