/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The object's license, as the kernel asks for it. The headers are GPL-2.0-only or BSD-2-Clause, at your choice. */
#pragma once

#include "bpf/compiler.h"

char license_text[] SEC("license") = "Dual BSD/GPL";
