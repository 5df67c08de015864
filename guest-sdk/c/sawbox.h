/* Write a sawbox filter in C: this one file is all there is. Include it in one source file, and write there
 *
 *     const char *sb_init(sb_setup *setup);                                    once, with the configuration
 *     void sb_process(const sb_record *record, sb_verdict *verdict);           for every record
 *
 * Build: clang --target=wasm32-wasi -O2 -mexec-model=reactor filter.c -o filter.wasm   (or `zig cc -target wasm32-wasi`, same flags)
 *
 * Cut, do not copy: bytes of the payload, or of a field that the filter reads, go back to the box as a place. Whatever else is given
 * to `sb_set` and its like is copied at once, so it may be on the stack.
 * Remember nothing from one record to the next: use sb_state_get and sb_state_put. There is no clock but sb_arrival_ns.
 * The bytes that go to and fro are described in guest-sdk/src/abi. Names that end with _ are this file's own. */
#ifndef SAWBOX_H
#define SAWBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- What you use ---- */

/* Some bytes, of a payload mostly: no zero at the end. `at` is NULL where there is nothing. */
typedef struct {
  const uint8_t *at;
  uint32_t len;
} sb_bytes;

/* A literal as bytes: SB("level"). */
#define SB(literal) ((sb_bytes){(const uint8_t *)(literal), (uint32_t)sizeof(literal) - 1})

typedef uint32_t sb_name;  /* a name of a field that is set */
typedef uint32_t sb_field; /* a field that is read */

enum { SB_NONE, SB_STR, SB_INT, SB_FLOAT, SB_BOOL };
typedef struct {
  int kind;
  sb_bytes str;
  int64_t integer;
  double decimal;
  bool yes;
} sb_value;

typedef struct sb_setup sb_setup;
typedef struct sb_record sb_record;
typedef struct sb_verdict sb_verdict;

/* You write these two. sb_init gives back NULL, or a sentence: why the configuration is refused. */
const char *sb_init(sb_setup *setup);
void sb_process(const sb_record *record, sb_verdict *verdict);

/* In sb_init: declare what is set often, and what is read. Only what is declared is given to the filter. */
static sb_name sb_declare(sb_setup *setup, sb_bytes name);
static sb_field sb_reads(sb_setup *setup, sb_bytes name);
static void sb_needs_payload(sb_setup *setup, bool needs); /* without a word it does */
/* The value at a dotted path of the configuration; anything but a string is JSON text. `at` is NULL where it is not there. */
static sb_bytes sb_config(const char *path);

/* Of a record. */
static sb_bytes sb_payload(const sb_record *record);
static int64_t sb_arrival_ns(const sb_record *record);
static uint64_t sb_offset(const sb_record *record);
static sb_value sb_get(const sb_record *record, sb_field field);  /* the first value of it */
static sb_bytes sb_text(const sb_record *record, sb_field field); /* the same, where it is a string */

/* On a record. Doing nothing stores it as it is. */
static sb_name sb_name_of(sb_bytes name); /* a name that comes out of the data; good for this call */
static void sb_set(sb_verdict *verdict, sb_name name, sb_bytes value);
static void sb_set_int(sb_verdict *verdict, sb_name name, int64_t value);
static void sb_set_float(sb_verdict *verdict, sb_name name, double value);
static void sb_set_bool(sb_verdict *verdict, sb_name name, bool value);
static void sb_add(sb_verdict *verdict, sb_name name, sb_bytes value); /* a second one makes a list */
static void sb_remove(sb_verdict *verdict, sb_name name);
static void sb_tag(sb_verdict *verdict, sb_bytes tag);
static void sb_set_time(sb_verdict *verdict, int64_t ns_since_1970);
static void sb_drop(sb_verdict *verdict, const char *reason);
static void sb_fail(sb_verdict *verdict, const char *reason); /* to the topic's dead letters */
static void sb_hold(sb_verdict *verdict); /* no row of it now: the filter keeps it in its state */
static void sb_payload_consumed(sb_verdict *verdict);         /* no message is made of the payload */
/* A record for another topic; SB_ORIGINAL is the payload as it arrived. Headers are added after it, one by one. */
#define SB_ORIGINAL ((sb_bytes){NULL, UINT32_MAX})
static void sb_emit(sb_verdict *verdict, sb_bytes topic, sb_bytes payload, bool with_headers);
static void sb_emit_header(sb_verdict *verdict, sb_bytes name, sb_bytes value);

/* What the host does. */
enum { SB_ERROR = 1, SB_WARN, SB_INFO, SB_DEBUG };
static void sb_log(int level, sb_bytes text);
static const char *sb_last_error(void); /* of the last -1 */
enum { SB_GROK, SB_REGEX, SB_GROK_ECS };
typedef struct {
  uint32_t group, start, end;
} sb_span;
static int sb_pattern(int kind, const char *expression);                        /* in sb_init; a handle, or -1 */
static int sb_find(int pattern, sb_bytes in, sb_span *spans, uint32_t at_most); /* how many spans; -1 no match, -2 gave up */
static sb_bytes sb_group(int pattern, uint32_t group); /* the name of a group; good until the next time */
static int sb_lookup(sb_bytes kind_zero_argument);     /* in sb_init: SB("table\0levels.csv"); a handle, or -1 */
static int sb_lookup_get(int lookup, const sb_record *record, sb_bytes key, void *out, uint32_t cap);
static int sb_state_get(const sb_record *record, sb_bytes key, void *out, uint32_t cap); /* its length, or -1 */
static int sb_state_put(const sb_record *record, sb_bytes key, sb_bytes value, int64_t ttl_ms);
/* As sb_state_put; but when its time is over it comes back as a record, see sb_is_expired. */
static int sb_state_wait(const sb_record *record, sb_bytes key, sb_bytes value, int64_t wait_ms);
static bool sb_is_expired(const sb_record *record); /* its payload is what waited */
static void sb_state_remove(const sb_record *record, sb_bytes key);

/* ---- How it is done ---- */

#define SB_IMPORT_(name) __attribute__((import_module("sawbox"), import_name(name)))
#define SB_EXPORT_(name) __attribute__((export_name(name)))
SB_IMPORT_("log") void sb_log_(int32_t level, const void *at, uint32_t len);
SB_IMPORT_("last_error") int32_t sb_last_error_(void *out, uint32_t cap);
SB_IMPORT_("config") int32_t sb_config_(const void *at, uint32_t len, void *out, uint32_t cap);
SB_IMPORT_("pattern_compile") int32_t sb_pattern_compile_(const void *at, uint32_t len, int32_t kind);
SB_IMPORT_("pattern_describe") int32_t sb_pattern_describe_(int32_t handle, void *out, uint32_t cap);
SB_IMPORT_("pattern_match") int32_t sb_pattern_match_(int32_t handle, const void *at, uint32_t len, void *out, uint32_t cap);
SB_IMPORT_("lookup_open") int32_t sb_lookup_open_(const void *at, uint32_t len);
SB_IMPORT_("lookup_get") int32_t sb_lookup_get_(int32_t handle, uint32_t record, const void *at, uint32_t len, void *out, uint32_t cap);
SB_IMPORT_("state_get") int32_t sb_state_get_(uint32_t record, const void *at, uint32_t len, void *out, uint32_t cap);
SB_IMPORT_("state_put") int32_t sb_state_put_(uint32_t record, const void *at, uint32_t len, const void *value, uint32_t value_len, int64_t ttl);
SB_IMPORT_("state_wait") int32_t sb_state_wait_(uint32_t record, const void *at, uint32_t len, const void *value, uint32_t value_len, int64_t wait);
SB_IMPORT_("state_remove") int32_t sb_state_remove_(uint32_t record, const void *at, uint32_t len);

#define SB_FN_ static __attribute__((unused))

/* A buffer that grows, and keeps its memory from call to call. */
typedef struct {
  uint8_t *at;
  uint32_t len, cap;
} sb_buffer_;

SB_FN_ uint8_t *sb_grow_(sb_buffer_ *buffer, uint32_t more) {
  if (buffer->cap - buffer->len < more) {
    uint32_t cap = buffer->cap < 512 ? 1024 : buffer->cap * 2;
    while (cap - buffer->len < more) cap *= 2;
    buffer->at = realloc(buffer->at, cap);
    if (!buffer->at) __builtin_trap();
    buffer->cap = cap;
  }
  uint8_t *place = buffer->at + buffer->len;
  buffer->len += more;
  return place;
}
SB_FN_ uint32_t sb_append_(sb_buffer_ *buffer, const void *at, uint32_t len) {
  uint32_t from = buffer->len;
  if (len) memcpy(sb_grow_(buffer, len), at, len);
  return from;
}
/* Wasm is little-endian, and takes numbers at any address. */
SB_FN_ void sb_u16_(uint8_t *at, uint16_t value) { memcpy(at, &value, 2); }
SB_FN_ void sb_u32_(uint8_t *at, uint32_t value) { memcpy(at, &value, 4); }
SB_FN_ uint32_t sb_get32_(const uint8_t *at) { uint32_t value; memcpy(&value, at, 4); return value; }
SB_FN_ uint64_t sb_get64_(const uint8_t *at) { uint64_t value; memcpy(&value, at, 8); return value; }

struct sb_setup { int nothing; };
struct sb_record {
  uint32_t index;
  const uint8_t *entry;  /* 48 bytes */
  const uint8_t *values; /* 16 bytes each */
  uint32_t count;
  sb_bytes payload;
};
struct sb_verdict {
  const sb_record *record;
  uint8_t kind, flags;
  uint32_t values, emissions, reason, reason_len;
};

/* Names: those of sb_init keep their numbers, those of a call are forgotten with it. */
typedef struct {
  sb_buffer_ section, places; /* places: where each begins, u32 */
  uint32_t *slots, slots_len, count, declared, declared_bytes;
} sb_names_;

static struct {
  sb_buffer_ input, init_answer, reads, verdicts, values, emissions, headers, arena, scratch;
  sb_names_ names;
  uint32_t reads_count;
  bool no_payload;
  const uint8_t *frame;
  uint32_t frame_len;
  uint8_t head[64];
} sb_;

SB_FN_ uint32_t sb_hash_(const uint8_t *at, uint32_t len) {
  uint32_t hash = 0x811c9dc5u;
  for (uint32_t i = 0; i < len; i++) hash = (hash ^ at[i]) * 0x01000193u;
  return hash ^ hash >> 15;
}
SB_FN_ sb_bytes sb_nth_name_(uint32_t number) {
  const uint8_t *at = sb_.names.section.at + sb_get32_(sb_.names.places.at + number * 4);
  uint16_t len;
  memcpy(&len, at - 2, 2);
  return (sb_bytes){at, len};
}
SB_FN_ void sb_rehash_(uint32_t slots) {
  sb_names_ *names = &sb_.names;
  if (slots != names->slots_len) {
    names->slots = realloc(names->slots, slots * 4);
    if (!names->slots) __builtin_trap();
    names->slots_len = slots;
  }
  memset(names->slots, 0, slots * 4);
  for (uint32_t number = 0; number < names->count; number++) {
    sb_bytes name = sb_nth_name_(number);
    uint32_t slot = sb_hash_(name.at, name.len) & (slots - 1);
    while (names->slots[slot]) slot = (slot + 1) & (slots - 1);
    names->slots[slot] = number + 1;
  }
}
SB_FN_ sb_name sb_name_of(sb_bytes name) {
  sb_names_ *names = &sb_.names;
  if (name.len > 300) name.len = 300; /* no field name is; the host says so */
  if (!names->slots_len) sb_rehash_(64);
  uint32_t slot = sb_hash_(name.at, name.len) & (names->slots_len - 1);
  for (; names->slots[slot]; slot = (slot + 1) & (names->slots_len - 1)) {
    sb_bytes known = sb_nth_name_(names->slots[slot] - 1);
    if (known.len == name.len && !memcmp(known.at, name.at, name.len)) return names->slots[slot] - 1;
  }
  sb_u16_(sb_grow_(&names->section, 2), (uint16_t)name.len);
  uint32_t place = sb_append_(&names->section, name.at, name.len);
  sb_u32_(sb_grow_(&names->places, 4), place);
  names->slots[slot] = ++names->count;
  if (names->count * 2 > names->slots_len) sb_rehash_(names->slots_len * 2);
  return names->count - 1;
}

SB_FN_ sb_name sb_declare(sb_setup *setup, sb_bytes name) { (void)setup; return sb_name_of(name); }
SB_FN_ sb_field sb_reads(sb_setup *setup, sb_bytes name) {
  (void)setup;
  sb_u16_(sb_grow_(&sb_.reads, 2), (uint16_t)name.len);
  sb_append_(&sb_.reads, name.at, name.len);
  return sb_.reads_count++;
}
SB_FN_ void sb_needs_payload(sb_setup *setup, bool needs) { (void)setup; sb_.no_payload = !needs; }
SB_FN_ sb_bytes sb_config(const char *path) {
  uint32_t cap = 256;
  for (;;) {
    uint8_t *out = malloc(cap); /* kept: the filter does */
    if (!out) __builtin_trap();
    int32_t len = sb_config_(path, (uint32_t)strlen(path), out, cap);
    if (len >= 0 && (uint32_t)len <= cap) return (sb_bytes){out, (uint32_t)len};
    free(out);
    if (len < 0) return (sb_bytes){NULL, 0};
    cap = (uint32_t)len;
  }
}

SB_FN_ sb_bytes sb_payload(const sb_record *record) { return record->payload; }
SB_FN_ uint64_t sb_offset(const sb_record *record) { return sb_get64_(record->entry); }
SB_FN_ int64_t sb_arrival_ns(const sb_record *record) { return (int64_t)sb_get64_(record->entry + 8); }
SB_FN_ sb_value sb_value_(const uint8_t *entry) {
  sb_value value = {.kind = (int)(sb_get32_(entry) >> 24 & 15)};
  uint64_t body = sb_get64_(entry + 8);
  switch (value.kind) {
    case SB_STR: value.str = (sb_bytes){sb_.frame + (body >> 32), sb_get32_(entry + 4)}; break;
    case SB_INT: value.integer = (int64_t)body; break;
    case SB_FLOAT: memcpy(&value.decimal, &body, 8); break;
    case SB_BOOL: value.yes = body != 0; break;
  }
  return value;
}
SB_FN_ sb_value sb_get(const sb_record *record, sb_field field) {
  for (uint32_t i = 0; i < record->count; i++)
    if ((sb_get32_(record->values + i * 16) & 0xffffff) == field) return sb_value_(record->values + i * 16);
  return (sb_value){.kind = SB_NONE};
}
SB_FN_ sb_bytes sb_text(const sb_record *record, sb_field field) {
  sb_value value = sb_get(record, field);
  return value.kind == SB_STR ? value.str : (sb_bytes){NULL, 0};
}

/* Where bytes lie, as the host sees it: in the payload, in a value that was read, or, copied, in the arena. */
typedef struct {
  uint32_t slot, at, len;
} sb_place_;
SB_FN_ bool sb_within_(sb_bytes whole, sb_bytes part) {
  return (uintptr_t)part.at >= (uintptr_t)whole.at && (uintptr_t)part.at + part.len <= (uintptr_t)whole.at + whole.len;
}
SB_FN_ sb_place_ sb_place_of_(const sb_record *record, sb_bytes bytes) {
  if (sb_within_(record->payload, bytes)) return (sb_place_){0, (uint32_t)(bytes.at - record->payload.at), bytes.len};
  if (sb_within_((sb_bytes){sb_.frame, sb_.frame_len}, bytes))
    for (uint32_t i = 0; i < record->count; i++) {
      sb_value value = sb_value_(record->values + i * 16);
      if (value.kind == SB_STR && sb_within_(value.str, bytes))
        return (sb_place_){2 + i, (uint32_t)(bytes.at - value.str.at), bytes.len};
    }
  return (sb_place_){1, sb_append_(&sb_.arena, bytes.at, bytes.len), bytes.len};
}
enum { SB_SET_, SB_ADD_, SB_REMOVE_, SB_ADD_NEW_ };
SB_FN_ void sb_push_(sb_verdict *verdict, sb_name name, uint32_t kind, uint32_t operation, uint32_t len, uint64_t body) {
  uint8_t *entry = sb_grow_(&sb_.values, 16);
  sb_u32_(entry, (name & 0xffffff) | kind << 24 | operation << 28);
  sb_u32_(entry + 4, len);
  memcpy(entry + 8, &body, 8);
  verdict->values++;
}
SB_FN_ void sb_push_str_(sb_verdict *verdict, sb_name name, uint32_t operation, sb_bytes value) {
  sb_place_ place = sb_place_of_(verdict->record, value);
  sb_push_(verdict, name, SB_STR, operation, place.len, place.slot | (uint64_t)place.at << 32);
}
SB_FN_ void sb_set(sb_verdict *verdict, sb_name name, sb_bytes value) { sb_push_str_(verdict, name, SB_SET_, value); }
SB_FN_ void sb_add(sb_verdict *verdict, sb_name name, sb_bytes value) { sb_push_str_(verdict, name, SB_ADD_, value); }
SB_FN_ void sb_tag(sb_verdict *verdict, sb_bytes tag) { sb_push_str_(verdict, sb_name_of(SB("tags")), SB_ADD_NEW_, tag); }
SB_FN_ void sb_set_int(sb_verdict *verdict, sb_name name, int64_t value) {
  sb_push_(verdict, name, SB_INT, SB_SET_, 0, (uint64_t)value);
}
SB_FN_ void sb_set_float(sb_verdict *verdict, sb_name name, double value) {
  uint64_t bits;
  memcpy(&bits, &value, 8);
  sb_push_(verdict, name, SB_FLOAT, SB_SET_, 0, bits);
}
SB_FN_ void sb_set_bool(sb_verdict *verdict, sb_name name, bool value) { sb_push_(verdict, name, SB_BOOL, SB_SET_, 0, value); }
SB_FN_ void sb_remove(sb_verdict *verdict, sb_name name) { sb_push_(verdict, name, SB_NONE, SB_REMOVE_, 0, 0); }
SB_FN_ void sb_set_time(sb_verdict *verdict, int64_t ns) { sb_set_int(verdict, sb_name_of(SB("_time")), ns); }
SB_FN_ void sb_end_(sb_verdict *verdict, uint8_t kind, const char *reason) {
  verdict->kind = kind;
  verdict->reason_len = (uint32_t)strlen(reason);
  verdict->reason = sb_append_(&sb_.arena, reason, verdict->reason_len);
}
SB_FN_ void sb_drop(sb_verdict *verdict, const char *reason) { sb_end_(verdict, 1, reason); }
SB_FN_ void sb_fail(sb_verdict *verdict, const char *reason) { sb_end_(verdict, 2, reason); }
SB_FN_ void sb_hold(sb_verdict *verdict) { verdict->kind = 3; }
SB_FN_ void sb_payload_consumed(sb_verdict *verdict) { verdict->flags |= 1; }
SB_FN_ void sb_emit(sb_verdict *verdict, sb_bytes topic, sb_bytes payload, bool with_headers) {
  bool original = !payload.at && payload.len == UINT32_MAX;
  sb_place_ place = original ? (sb_place_){0, 0, UINT32_MAX} : sb_place_of_(verdict->record, payload);
  uint32_t words[8] = {sb_append_(&sb_.arena, topic.at, topic.len), topic.len, place.slot, place.at, place.len, 0, with_headers, 0};
  sb_append_(&sb_.emissions, words, sizeof words);
  verdict->emissions++;
}
SB_FN_ void sb_emit_header(sb_verdict *verdict, sb_bytes name, sb_bytes value) {
  if (!verdict->emissions) return;
  sb_place_ place = sb_place_of_(verdict->record, value);
  uint32_t words[6] = {sb_append_(&sb_.arena, name.at, name.len), name.len, place.slot, place.at, place.len, 0};
  sb_append_(&sb_.headers, words, sizeof words);
  uint8_t *count = sb_.emissions.at + sb_.emissions.len - 12;
  sb_u32_(count, sb_get32_(count) + 1);
}

SB_FN_ void sb_log(int level, sb_bytes text) { sb_log_(level, text.at, text.len); }
SB_FN_ const char *sb_last_error(void) {
  static char text[1024];
  int32_t len = sb_last_error_(text, sizeof text - 1);
  text[len > 0 && (uint32_t)len < sizeof text ? len : 0] = 0;
  return text;
}
SB_FN_ int sb_pattern(int kind, const char *expression) { return sb_pattern_compile_(expression, (uint32_t)strlen(expression), kind); }
SB_FN_ int sb_find(int pattern, sb_bytes in, sb_span *spans, uint32_t at_most) {
  return sb_pattern_match_(pattern, in.at, in.len, spans, at_most);
}
SB_FN_ sb_bytes sb_group(int pattern, uint32_t group) {
  sb_.scratch.len = 0;
  sb_grow_(&sb_.scratch, 1024);
  int32_t len = sb_pattern_describe_(pattern, sb_.scratch.at, sb_.scratch.cap);
  if (len > (int32_t)sb_.scratch.cap) {
    sb_grow_(&sb_.scratch, (uint32_t)len);
    len = sb_pattern_describe_(pattern, sb_.scratch.at, sb_.scratch.cap);
  }
  for (const uint8_t *at = sb_.scratch.at, *end = at + (len > 0 ? len : 0); at + 4 <= end;) {
    uint16_t number, bytes;
    memcpy(&number, at, 2);
    memcpy(&bytes, at + 2, 2);
    if (number == group) return (sb_bytes){at + 4, bytes};
    at += 4 + bytes;
  }
  return (sb_bytes){NULL, 0};
}
SB_FN_ int sb_lookup(sb_bytes kind_zero_argument) { return sb_lookup_open_(kind_zero_argument.at, kind_zero_argument.len); }
SB_FN_ int sb_lookup_get(int lookup, const sb_record *record, sb_bytes key, void *out, uint32_t cap) {
  return sb_lookup_get_(lookup, record->index, key.at, key.len, out, cap);
}
SB_FN_ int sb_state_get(const sb_record *record, sb_bytes key, void *out, uint32_t cap) {
  return sb_state_get_(record->index, key.at, key.len, out, cap);
}
SB_FN_ int sb_state_put(const sb_record *record, sb_bytes key, sb_bytes value, int64_t ttl_ms) {
  return sb_state_put_(record->index, key.at, key.len, value.at, value.len, ttl_ms);
}
SB_FN_ int sb_state_wait(const sb_record *record, sb_bytes key, sb_bytes value, int64_t wait_ms) {
  return sb_state_wait_(record->index, key.at, key.len, value.at, value.len, wait_ms);
}
SB_FN_ bool sb_is_expired(const sb_record *record) { return record->index < sb_get32_(sb_.frame + 20); }
SB_FN_ void sb_state_remove(const sb_record *record, sb_bytes key) { sb_state_remove_(record->index, key.at, key.len); }

/* The exports. */
SB_FN_ int64_t sb_pack_(const void *at, uint32_t len) { return (int64_t)((uint64_t)(uintptr_t)at | (uint64_t)len << 32); }
SB_EXPORT_("sawbox_abi") int32_t sb_export_abi_(void) { return 1; }
SB_EXPORT_("alloc") void *sb_export_alloc_(uint32_t len) {
  sb_.input.len = 0;
  return sb_grow_(&sb_.input, len ? len : 1);
}
SB_EXPORT_("init") int64_t sb_export_init_(const uint8_t *at, uint32_t len) {
  (void)at, (void)len; /* JSON text; sb_config asks the host for single values of it */
  static sb_setup setup;
  const char *refused = sb_init(&setup);
  sb_.names.declared = sb_.names.count;
  sb_.names.declared_bytes = sb_.names.section.len;
  uint8_t head[4] = {refused != NULL, sb_.no_payload ? 0 : 1, (uint8_t)sb_.reads_count, (uint8_t)(sb_.reads_count >> 8)};
  if (refused) memset(head + 1, 0, 3);
  sb_append_(&sb_.init_answer, head, 4);
  if (refused) sb_append_(&sb_.init_answer, refused, (uint32_t)strlen(refused));
  else sb_append_(&sb_.init_answer, sb_.reads.at, sb_.reads.len);
  return sb_pack_(sb_.init_answer.at, sb_.init_answer.len);
}
SB_EXPORT_("process") int64_t sb_export_process_(const uint8_t *frame, uint32_t len) {
  sb_.verdicts.len = sb_.values.len = sb_.emissions.len = sb_.headers.len = sb_.arena.len = 0;
  if (sb_.names.count > sb_.names.declared) {
    sb_.names.count = sb_.names.declared;
    sb_.names.section.len = sb_.names.declared_bytes;
    sb_.names.places.len = sb_.names.declared * 4;
    uint32_t slots = 64;
    while (slots < sb_.names.declared * 4) slots *= 2;
    sb_rehash_(slots);
  }
  sb_.frame = frame;
  sb_.frame_len = len;
  uint32_t records = sb_get32_(frame + 4);
  const uint8_t *values = frame + 24 + records * 48;
  for (uint32_t i = 0; i < records; i++) {
    const uint8_t *entry = frame + 24 + i * 48;
    sb_record record = {i, entry, values + sb_get32_(entry + 40) * 16, sb_get32_(entry + 44), {frame + sb_get32_(entry + 32), sb_get32_(entry + 36)}};
    sb_verdict verdict = {.record = &record};
    sb_process(&record, &verdict);
    uint8_t *out = sb_grow_(&sb_.verdicts, 24);
    uint32_t words[6] = {verdict.kind | (uint32_t)verdict.flags << 8, verdict.values, verdict.reason, verdict.reason_len, verdict.emissions, 0};
    memcpy(out, words, 24);
  }
  uint32_t head[16] = {1, records};
  const sb_buffer_ *sections[6] = {&sb_.verdicts, &sb_.values, &sb_.names.section, &sb_.emissions, &sb_.headers, &sb_.arena};
  for (int i = 0; i < 6; i++) head[2 + i * 2] = (uint32_t)(uintptr_t)sections[i]->at, head[3 + i * 2] = sections[i]->len;
  memcpy(sb_.head, head, 64);
  return sb_pack_(sb_.head, 64);
}

#endif
