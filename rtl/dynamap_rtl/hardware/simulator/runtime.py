"""The C that is the same for all hardware: how a cycle begins and ends, and the loop over cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["HEAD", "TRACE_WORDS", "Places", "place_names", "run_loop"]

TRACE_WORDS = 4
"""Of a row of the table of what is traced: place, bytes, shift, mask."""

HEAD = """#include <stddef.h>
#include <stdint.h>
#include <string.h>
"""

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

{declared}

/* Run the first partition that is marked in a word or behind it; that goes on with the next. */
static __attribute__((noinline)) void dm_from(uint8_t *S, size_t word)
{{
    for (; word < {words}; word++)
        if (D[word]) {{
            const int bit = __builtin_ctzll(D[word]);
            D[word] &= D[word] - 1;
            dm_partitions[64 * word + bit](S);
            return;
        }}
}}

/* After a partition, the next one that is marked. Jumps are easier to foresee from where each ends than from a loop.
   What a partition marks before itself is for the next cycle. */
static inline __attribute__((always_inline)) void dm_onward(uint8_t *S, const size_t word, const uint64_t behind)
{{
    const uint64_t marked = D[word] & behind;
    if (marked) {{
        D[word] ^= marked & -marked;
        dm_partitions[64 * word + __builtin_ctzll(marked)](S);
    }} else if (word + 1 < {words}) {{
        dm_from(S, word + 1);
    }}
}}

{functions}

static void dm_logic(uint8_t *S)
{{
{logic}
}}

static void dm_grids(uint8_t *S)
{{
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

    C finds them as constants behind the one pointer ``S``: so functions have one parameter, and compilers see which
    places differ.

    Attributes:
        registers: outside grids.
        next: their next values.
        inputs: of the cycle.
        given: inputs for the next cycle.
        outputs: of the cycle.
        handed: what partitions hand each other.
        marks: of what has to run.
        written: marks of the partitions that gave registers their next values.
    """

    registers: int
    next: int
    inputs: int
    given: int
    outputs: int
    handed: int
    marks: int
    written: int


def place_names(places: Places) -> str:
    """C's names of the parts of the state."""
    return f"""
#define R (S + {places.registers})
#define N (S + {places.next})
#define I ((uint64_t *)(S + {places.inputs}))
#define J ((uint64_t *)(S + {places.given}))
#define O ((uint64_t *)(S + {places.outputs}))
#define W ((uint64_t *)(S + {places.handed}))
#define D ((uint64_t *)(S + {places.marks}))
#define E ((uint64_t *)(S + {places.written}))
"""


def run_loop(
    *,
    input_words: int,
    output_words: int,
    partitions: Mapping[str, str],
    logic: Sequence[str],
    grids: Sequence[str],
    before: Sequence[str],
) -> str:
    """The functions of a cycle and the loop over cycles.

    Args:
        input_words: 64-bit words of all inputs.
        output_words: of all outputs.
        partitions: functions by name, in the order of their marks.
        logic: statements of a cycle outside grids.
        grids: statements that update grids.
        before: statements that keep what registers of grids hold.
    """
    texts = {
        name: "\n".join(f"    {line}" for line in lines)
        for name, lines in (("logic", logic), ("grids", grids), ("before", before))
    }
    prototypes = "\n".join(f"static void {name}(uint8_t *S);" for name in partitions)
    return _RUN.format(
        **texts,
        declared=f"{prototypes}\nstatic void (*const dm_partitions[])(uint8_t *) = {{{', '.join(partitions)}}};",
        functions="\n".join(partitions.values()),
        words=-(-len(partitions) // 64),
        input_words=input_words,
        output_words=output_words,
        trace_words=TRACE_WORDS,
    )
