"""The C that is the same for all hardware: how a cycle begins and ends, and the loop over cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

__all__ = ["HEAD", "PARAMETERS", "TRACE_WORDS", "UNUSED", "Places", "run_loop"]

TRACE_WORDS = 4
"""Of a row of the table of what is traced: place, bytes, shift, mask."""

HEAD = """#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* Whether anything is noted in these bytes, a multiple of 8. */
static inline uint64_t dm_any(const uint8_t *seen, const size_t bytes)
{
    uint64_t c = 0;
    for (size_t k = 0; k < bytes; k += 8) c |= *(const uint64_t *)(seen + k);
    return c;
}
/* Whether a function changed anything in any of the lines of a grid. */
#define dm_lines(function, base, lines, bytes) \\
    ({ uint8_t seen[bytes] __attribute__((aligned(64))) = {0}; \\
       for (size_t line = 0; line < (lines); line++) function(base, line, seen); \\
       dm_any(seen, bytes); })
"""

#: Of a partition: all state, registers, their next values, inputs, outputs, what partitions hand each other, marks of
#: what has to run, and marks of what ran.
PARAMETERS = (
    "uint8_t *restrict S, const uint8_t *restrict R, uint8_t *restrict N, const uint64_t *restrict I, "
    "uint64_t *restrict O, uint64_t *restrict W, uint64_t *restrict D, uint64_t *restrict E"
)
UNUSED = "(void)S; (void)R; (void)N; (void)I; (void)O; (void)W; (void)D; (void)E;"

# Nothing is exported but dm_ names: a symbol called "step" would be found in place of the one of some C library.
_RUN = """
/* Copy words, and tell whether they were others. */
typedef uint64_t dm_words __attribute__((vector_size(32), aligned(8)));
static inline uint64_t dm_take(uint8_t *to, const uint8_t *from, const size_t bytes)
{{
    uint64_t c = 0;
    size_t k = 0;
    if (bytes >= sizeof(dm_words)) {{
        dm_words many = {{0}};
        for (; k + sizeof(dm_words) <= bytes; k += sizeof(dm_words)) {{
            const dm_words n = *(const dm_words *)(from + k);
            many |= n ^ *(dm_words *)(to + k);
            *(dm_words *)(to + k) = n;
        }}
        c = many[0] | many[1] | many[2] | many[3];
    }}
    for (; k < bytes; k += 8) {{
        const uint64_t n = *(const uint64_t *)(from + k);
        c |= n ^ *(uint64_t *)(to + k);
        *(uint64_t *)(to + k) = n;
    }}
    return c;
}}

static void dm_logic(uint8_t *S)
{{
    uint8_t *const R = S + {registers}, *const N = S + {next};
    uint64_t *const I = (uint64_t *)(S + {inputs});
    const uint64_t *const J = (const uint64_t *)(S + {given});
    uint64_t *const O = (uint64_t *)(S + {outputs}), *const W = (uint64_t *)(S + {handed});
    uint64_t *const D = (uint64_t *)(S + {marks}), *const E = (uint64_t *)(S + {ran});
    (void)R; (void)N; (void)I; (void)J; (void)O; (void)W; (void)D; (void)E;
{logic}
}}

static void dm_grids(uint8_t *S)
{{
    uint64_t *const D = (uint64_t *)(S + {marks});
    (void)D;
{grids}
}}

/* Keep the registers of grids as they are before they are updated. */
static void dm_before(uint8_t *S)
{{
    (void)S;
{before}
}}

/* Called after every cycle with its outputs; may set the inputs of the next. */
typedef void (*dm_peer)(void *context, const uint64_t *outputs, uint64_t *inputs);

__attribute__((visibility("default"))) uint64_t dm_run(
    uint8_t *S, uint64_t cycles, const uint64_t *in, uint64_t *out,
    const uint64_t *table, uint64_t traced, uint64_t *trace, int64_t stop, dm_peer peer, void *context)
{{
    uint64_t *J = (uint64_t *)(S + {given});
    const uint64_t *O = (const uint64_t *)(S + {outputs});
    for (uint64_t n = 0; n < cycles;) {{
        if (in) {{ memcpy(J, in, 8 * {input_words}); in += {input_words}; }}
        dm_logic(S);
        n++;
        const int last = n == cycles || (stop >= 0 && O[stop]);
        if (last || traced) dm_before(S);
        dm_grids(S);
        if (out) {{ memcpy(out, O, 8 * {output_words}); out += {output_words}; }}
        for (const uint64_t *t = table; t < table + {trace_words} * traced; t += {trace_words}) {{
            const uint8_t *p = S + t[0];
            uint64_t value;
            switch (t[1]) {{
            case 1: value = *p; break;
            case 2: value = *(const uint16_t *)p; break;
            case 4: value = *(const uint32_t *)p; break;
            default: value = *(const uint64_t *)p;
            }}
            *trace++ = value >> t[2] & t[3];
        }}
        if (peer) peer(context, O, J);
        if (last) return n;
    }}
    return cycles;
}}
"""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Bytes from the start of the state to its parts.

    Attributes:
        registers: outside grids.
        next: their next values.
        inputs: of the cycle.
        given: inputs for the next cycle.
        outputs: of the cycle.
        handed: what partitions hand each other.
        marks: of what has to run.
        ran: marks of the partitions that ran.
    """

    registers: int
    next: int
    inputs: int
    given: int
    outputs: int
    handed: int
    marks: int
    ran: int


def run_loop(
    places: Places,
    *,
    input_words: int,
    output_words: int,
    logic: Sequence[str],
    grids: Sequence[str],
    before: Sequence[str],
) -> str:
    """The functions of a cycle and the loop over cycles.

    Args:
        places: of the parts of the state.
        input_words: 64-bit words of all inputs.
        output_words: of all outputs.
        logic: statements of a cycle outside grids.
        grids: statements that update grids.
        before: statements that keep what registers of grids hold.
    """
    texts = {
        name: "\n".join(f"    {line}" for line in lines)
        for name, lines in (("logic", logic), ("grids", grids), ("before", before))
    }
    return _RUN.format(
        **asdict(places), **texts, input_words=input_words, output_words=output_words, trace_words=TRACE_WORDS
    )
