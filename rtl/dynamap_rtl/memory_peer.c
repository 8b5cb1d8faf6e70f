// External memory beside a compiled simulation: the far side of the overlay's three burst ports, as memory_model.py has it,
// called once a cycle with what the circuit gave and setting what it is given next.
#include <stdint.h>
#include <string.h>

#define DEPTH 4096  // requests under way; more than any latency here

typedef struct {
    // Offsets of the port's signals, in words of the circuit's outputs and inputs.
    int64_t request_valid, request_address, request_bytes, data_ready;
    int64_t request_ready, data_valid, data;
    int64_t bytes, latency;
    uint64_t address[DEPTH], left[DEPTH], due[DEPTH];
    int64_t first, count;
    int64_t beats;  // moved so far
} Reader;

typedef struct {
    int64_t request_valid, request_address, request_bytes, valid, data;
    int64_t request_ready, ready, written;
    int64_t bytes, latency;
    uint64_t address[DEPTH], left[DEPTH];
    int64_t first, count;
    uint64_t due[DEPTH];
    int64_t due_first, due_count;
    int64_t beats;
} Writer;

typedef struct {
    uint8_t *memory;
    uint64_t size;
    uint64_t cycle;
    int64_t fault;  // 1: a burst of no bytes, 2: one that leaves memory, 3: too many requests, 4: a beat without one
    uint64_t fault_address;
    Reader readers[2];
    Writer writer;
} Memory;

static int refuse(Memory *m, uint64_t address, uint64_t bytes, int64_t count) {
    int64_t fault = bytes == 0 ? 1 : address + bytes > m->size ? 2 : count == DEPTH ? 3 : 0;
    if (fault && !m->fault) { m->fault = fault; m->fault_address = address; }
    return fault != 0;
}

static void read_port(Memory *m, Reader *r, const uint64_t *O, uint64_t *I) {
    if (I[r->data_valid] && O[r->data_ready]) {
        uint64_t moved = r->left[r->first] < (uint64_t)r->bytes ? r->left[r->first] : (uint64_t)r->bytes;
        r->address[r->first] += moved;
        r->left[r->first] -= moved;
        r->beats++;
        if (!r->left[r->first]) { r->first = (r->first + 1) % DEPTH; r->count--; }
    }
    if (O[r->request_valid] && I[r->request_ready] && !refuse(m, O[r->request_address], O[r->request_bytes], r->count)) {
        int64_t at = (r->first + r->count++) % DEPTH;
        r->address[at] = O[r->request_address];
        r->left[at] = O[r->request_bytes];
        r->due[at] = m->cycle + (uint64_t)r->latency;
    }
    I[r->request_ready] = r->count < DEPTH;
    int offered = r->count && r->due[r->first] <= m->cycle + 1;
    I[r->data_valid] = (uint64_t)offered;
    if (offered) {
        uint64_t given = r->left[r->first] < (uint64_t)r->bytes ? r->left[r->first] : (uint64_t)r->bytes;
        uint8_t *beat = (uint8_t *)&I[r->data];
        memset(beat, 0xA5, (size_t)r->bytes);  // behind a burst's end; nothing may depend on it
        memcpy(beat, m->memory + r->address[r->first], given);
    }
}

static void write_port(Memory *m, Writer *w, const uint64_t *O, uint64_t *I) {
    if (I[w->written]) { w->due_first = (w->due_first + 1) % DEPTH; w->due_count--; }
    if (O[w->request_valid] && I[w->request_ready] && !refuse(m, O[w->request_address], O[w->request_bytes], w->count)) {
        int64_t at = (w->first + w->count++) % DEPTH;
        w->address[at] = O[w->request_address];
        w->left[at] = O[w->request_bytes];
    }
    if (O[w->valid] && I[w->ready]) {
        if (!w->count) {
            if (!m->fault) m->fault = 4;
        } else {
            uint64_t taken = w->left[w->first] < (uint64_t)w->bytes ? w->left[w->first] : (uint64_t)w->bytes;
            memcpy(m->memory + w->address[w->first], &O[w->data], taken);
            w->address[w->first] += taken;
            w->left[w->first] -= taken;
            w->beats++;
            if (!w->left[w->first]) {
                w->first = (w->first + 1) % DEPTH;
                w->count--;
                w->due[(w->due_first + w->due_count++) % DEPTH] = m->cycle + (uint64_t)w->latency;
            }
        }
    }
    I[w->request_ready] = w->count < DEPTH;
    I[w->ready] = 1;
    I[w->written] = w->due_count && w->due[w->due_first] <= m->cycle + 1;
}

__attribute__((visibility("default"))) void dm_memory(void *context, const uint64_t *O, uint64_t *I) {
    Memory *m = context;
    for (int k = 0; k < 2; k++) read_port(m, &m->readers[k], O, I);
    write_port(m, &m->writer, O, I);
    m->cycle++;
}
