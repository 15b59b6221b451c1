//! Instructions as text, for snapshots: one line each, in the notation of the kernel's verifier.

use aya_obj::generated::bpf_insn;

const CLASS_LD: u8 = 0;
const CLASS_LDX: u8 = 1;
const CLASS_ST: u8 = 2;
const CLASS_STX: u8 = 3;
const CLASS_ALU: u8 = 4;
const CLASS_JMP: u8 = 5;
const CLASS_JMP32: u8 = 6;

const OP_LD_IMM64: u8 = 0x18;
const OP_CALL: u8 = 0x85;
const OP_EXIT: u8 = 0x95;

const PSEUDO_MAP: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_FUNC: u8 = 4;

/// The helpers that the datapath may call, by their number.
const HELPERS: [(i32, &str); 13] = [
    (1, "map_lookup_elem"),
    (2, "map_update_elem"),
    (3, "map_delete_elem"),
    (9, "skb_store_bytes"),
    (12, "tail_call"),
    (23, "redirect"),
    (26, "skb_load_bytes"),
    (28, "csum_diff"),
    (131, "ringbuf_reserve"),
    (132, "ringbuf_submit"),
    (134, "ringbuf_query"),
    (160, "ktime_get_coarse_ns"),
    (164, "for_each_map_elem"),
];

/// Name of a helper that the datapath may call.
pub(super) fn helper_name(id: i32) -> Option<&'static str> {
    HELPERS.iter().find(|helper| helper.0 == id).map(|helper| helper.1)
}

/// Whether the instruction calls the kernel, and not a function of the program.
pub(super) fn is_helper_call(instruction: &bpf_insn) -> bool {
    instruction.code == OP_CALL && instruction.src_reg() == 0
}

/// The instructions as text. A map is named by its place in `maps`.
pub(super) fn lines(instructions: &[bpf_insn], maps: &[String]) -> Vec<String> {
    let mut lines = Vec::with_capacity(instructions.len());
    let mut at = 0;
    while let Some(instruction) = instructions.get(at) {
        let wide = instruction.code == OP_LD_IMM64;
        let text = if wide {
            let high = instructions.get(at + 1).map_or(0, |next| next.imm);
            load_wide(instruction, high, maps)
        } else {
            one(instruction, at)
        };
        lines.push(format!("{at:4}: {text}"));
        at += if wide { 2 } else { 1 };
    }
    lines
}

fn load_wide(instruction: &bpf_insn, high: i32, maps: &[String]) -> String {
    let to = instruction.dst_reg();
    let map = || usize::try_from(instruction.imm).ok().and_then(|at| maps.get(at)).map_or("?", String::as_str);
    match instruction.src_reg() {
        PSEUDO_MAP => format!("r{to} = map[{}]", map()),
        PSEUDO_MAP_VALUE => format!("r{to} = map[{}] + {high}", map()),
        PSEUDO_FUNC => format!("r{to} = function"),
        _ => format!("r{to} = {:#x} ll", u64::from(instruction.imm as u32) | u64::from(high as u32) << 32),
    }
}

fn one(instruction: &bpf_insn, at: usize) -> String {
    let (to, from) = (instruction.dst_reg(), instruction.src_reg());
    let (off, imm) = (instruction.off, instruction.imm);
    let size = size_name(instruction.code);
    let wide = instruction.code & 7 != CLASS_ALU && instruction.code & 7 != CLASS_JMP32;
    let register = |number| if wide { format!("r{number}") } else { format!("w{number}") };
    let operand = || if instruction.code & 8 != 0 { register(from) } else { imm.to_string() };
    match (instruction.code, instruction.code & 7) {
        (OP_EXIT, _) => "exit".to_owned(),
        (OP_CALL, _) if from == 0 => {
            helper_name(imm).map_or_else(|| format!("call helper {imm}"), |name| format!("call {name}"))
        }
        (OP_CALL, _) => format!("call {}", at as i64 + 1 + i64::from(imm)),
        (_, CLASS_LDX) => format!("r{to} = *({size} *)(r{from} {off:+})"),
        (_, CLASS_ST) => format!("*({size} *)(r{to} {off:+}) = {imm}"),
        (code, CLASS_STX) if code & 0xe0 == 0xc0 => {
            format!("lock *({size} *)(r{to} {off:+}) {}= r{from}", atomic_name(imm))
        }
        (_, CLASS_STX) => format!("*({size} *)(r{to} {off:+}) = r{from}"),
        (code, CLASS_JMP | CLASS_JMP32) => {
            let target = at as i64 + 1 + i64::from(off);
            match jump_name(code) {
                Some("") => format!("goto {target}"),
                Some(name) => format!("if {} {name} {} goto {target}", register(to), operand()),
                None => raw(instruction),
            }
        }
        (_, CLASS_LD) => raw(instruction),
        (code, _) => match code & 0xf0 {
            0xd0 => format!("r{to} = {}{imm} r{to}", if code & 8 != 0 { "be" } else { "le" }),
            0x80 => format!("{0} = -{0}", register(to)),
            operation => match alu_name(operation) {
                Some(name) => format!("{} {name} {}", register(to), operand()),
                None => raw(instruction),
            },
        },
    }
}

/// An instruction that our clang flags do not make.
fn raw(instruction: &bpf_insn) -> String {
    let (code, to, from) = (instruction.code, instruction.dst_reg(), instruction.src_reg());
    format!("code {code:#04x} r{to} r{from} {} {}", instruction.off, instruction.imm)
}

fn size_name(code: u8) -> &'static str {
    match code & 0x18 {
        0x00 => "u32",
        0x08 => "u16",
        0x10 => "u8",
        _ => "u64",
    }
}

fn atomic_name(operation: i32) -> &'static str {
    match operation & 0xf0 {
        0x00 => "+",
        0x40 => "|",
        0x50 => "&",
        0xa0 => "^",
        _ => "xchg ",
    }
}

/// `""` for the jump without a condition.
fn jump_name(code: u8) -> Option<&'static str> {
    Some(match code & 0xf0 {
        0x00 => "",
        0x10 => "==",
        0x20 => ">",
        0x30 => ">=",
        0x40 => "&",
        0x50 => "!=",
        0x60 => "s>",
        0x70 => "s>=",
        0xa0 => "<",
        0xb0 => "<=",
        0xc0 => "s<",
        0xd0 => "s<=",
        _ => return None,
    })
}

fn alu_name(operation: u8) -> Option<&'static str> {
    Some(match operation {
        0x00 => "+=",
        0x10 => "-=",
        0x20 => "*=",
        0x30 => "/=",
        0x40 => "|=",
        0x50 => "&=",
        0x60 => "<<=",
        0x70 => ">>=",
        0x90 => "%=",
        0xa0 => "^=",
        0xb0 => "=",
        0xc0 => "s>>=",
        _ => return None,
    })
}
