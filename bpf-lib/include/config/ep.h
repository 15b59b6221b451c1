/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The shape of one direction of an endpoint class: every define that the generated ep_config.h must hold. */
#pragma once

#include "ep_config.h"

#define POLICY_MODE_ALLOW_ALL 0
#define POLICY_MODE_DENY_ALL 1
#define POLICY_MODE_L3_ONLY 2
#define POLICY_MODE_TABLES 3

#ifndef POLICY_MODE	/* 0-3: how the verdict is found, POLICY_MODE_* */
# error "ep_config.h must define POLICY_MODE"
#endif

#ifndef POLICY_AUDIT	/* 0 or 1: what policy drops passes, and is reported as audited */
# error "ep_config.h must define POLICY_AUDIT"
#endif

#ifndef ROW_BITS	/* 8 or 16: bits of a cell of `id_row` */
# error "ep_config.h must define ROW_BITS"
#endif

#ifndef CLASS_BITS	/* 8 or 16: bits of a cell of `port_class` */
# error "ep_config.h must define CLASS_BITS"
#endif

#ifndef ACTION_BITS	/* 8 or 16: bits of a cell of `verdict` */
# error "ep_config.h must define ACTION_BITS"
#endif

#ifndef CLASS_SHIFT	/* 0-16: bits of the port class in an index of `verdict` */
# error "ep_config.h must define CLASS_SHIFT"
#endif
