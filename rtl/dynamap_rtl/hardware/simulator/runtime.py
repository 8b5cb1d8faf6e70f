"""The C that is the same for all hardware: how a cycle begins and ends, and the loop over cycles."""

from __future__ import annotations

__all__ = ["CHUNK_PARAMETERS", "HEAD", "HEADER_BYTES", "TRACE_WORDS", "UNUSED", "run_loop"]

HEADER_BYTES = 64
"""At the start of the state: the phase (which buffer of registers the next cycle reads)."""

TRACE_WORDS = 5
"""Of a row of the table of what is traced: place in even cycles, in odd cycles, bytes, shift, mask."""

HEAD = """#include <stddef.h>
#include <stdint.h>
#include <string.h>
"""

#: Of a function of the logic outside grids: all state, phase, registers, their next values, inputs, outputs, and
#: what functions hand each other.
CHUNK_PARAMETERS = (
    "uint8_t *restrict S, const int P, const uint64_t *restrict R, uint64_t *restrict N, "
    "const uint64_t *restrict I, uint64_t *restrict O, uint64_t *restrict W"
)
UNUSED = "(void)S; (void)P; (void)R; (void)N; (void)I; (void)O; (void)W;"

# Nothing is exported but dm_ names: a symbol called "step" would be found in place of the one of some C library.
_RUN = """
static void dm_cycle(uint8_t *S)
{{
    const int P = (int)*(uint64_t *)S;
    const uint64_t *R = (const uint64_t *)(S + (P ? {odd} : {even}));
    uint64_t *N = (uint64_t *)(S + (P ? {even} : {odd}));
    const uint64_t *I = (const uint64_t *)(S + {inputs});
    uint64_t *O = (uint64_t *)(S + {outputs});
    uint64_t *W = (uint64_t *)(S + {handed});
    (void)R; (void)N; (void)I; (void)O; (void)W;
{calls}
    *(uint64_t *)S = !P;
}}

/* Called after every cycle with its outputs; may set the inputs of the next. */
typedef void (*dm_peer)(void *context, const uint64_t *outputs, uint64_t *inputs);

__attribute__((visibility("default"))) uint64_t dm_run(
    uint8_t *S, uint64_t cycles, const uint64_t *in, uint64_t *out,
    const uint64_t *table, uint64_t traced, uint64_t *trace, int64_t stop, dm_peer peer, void *context)
{{
    uint64_t *I = (uint64_t *)(S + {inputs});
    const uint64_t *O = (const uint64_t *)(S + {outputs});
    for (uint64_t n = 0; n < cycles;) {{
        const uint64_t P = *(const uint64_t *)S;
        if (in) {{ memcpy(I, in, 8 * {input_words}); in += {input_words}; }}
        dm_cycle(S);
        n++;
        if (out) {{ memcpy(out, O, 8 * {output_words}); out += {output_words}; }}
        for (const uint64_t *t = table; t < table + {trace_words} * traced; t += {trace_words}) {{
            const uint8_t *p = S + t[P];
            uint64_t value;
            switch (t[2]) {{
            case 1: value = *p; break;
            case 2: value = *(const uint16_t *)p; break;
            case 4: value = *(const uint32_t *)p; break;
            default: value = *(const uint64_t *)p;
            }}
            *trace++ = value >> t[3] & t[4];
        }}
        if (peer) peer(context, O, I);
        if (stop >= 0 && O[stop]) return n;
    }}
    return cycles;
}}
"""


def run_loop(
    *,
    even: int,
    odd: int,
    handed: int,
    inputs: int,
    outputs: int,
    input_words: int,
    output_words: int,
    calls: list[str],
) -> str:
    """The function of a cycle and the loop over it.

    Args:
        even: where registers outside grids are in even cycles.
        odd: where in odd ones.
        handed: where functions leave what others take up.
        inputs: where the inputs are.
        outputs: where the outputs are.
        input_words: 64-bit words of all inputs.
        output_words: of all outputs.
        calls: statements of a cycle.
    """
    return _RUN.format(
        even=even,
        odd=odd,
        handed=handed,
        inputs=inputs,
        outputs=outputs,
        input_words=input_words,
        output_words=output_words,
        trace_words=TRACE_WORDS,
        calls="\n".join(f"    {call}" for call in calls),
    )
