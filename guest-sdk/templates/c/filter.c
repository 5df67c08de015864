/* A line of `key=value` pairs becomes fields. Start from it: change sb_process, then fixtures.toml. */
#include "sawbox.h"

static uint8_t separator = '=';
static sb_field host;
static sb_name level, node;

const char *sb_init(sb_setup *setup) {
  sb_bytes given = sb_config("separator");
  if (given.at) {
    if (given.len != 1) return "`separator` must be one character";
    separator = given.at[0];
  }
  host = sb_reads(setup, SB("host"));
  level = sb_declare(setup, SB("level"));
  node = sb_declare(setup, SB("node"));
  return NULL;
}

static bool is(sb_bytes bytes, const char *text) {
  return bytes.len == strlen(text) && !memcmp(bytes.at, text, bytes.len);
}

/* `12` is a number, `12a` is not, and what has more than 18 digits stays text. */
static bool whole_number(sb_bytes text, int64_t *number) {
  *number = 0;
  for (uint32_t i = 0; i < text.len; i++) {
    if (text.at[i] < '0' || text.at[i] > '9') return false;
    *number = *number * 10 + (text.at[i] - '0');
  }
  return text.len > 0 && text.len <= 18;
}

static void pair(sb_bytes key, sb_bytes value, sb_verdict *verdict) {
  int64_t number;
  sb_name name = is(key, "level") ? level : sb_name_of(key);
  if (whole_number(value, &number)) sb_set_int(verdict, name, number);
  else sb_set(verdict, name, value);
  if (name == level && is(value, "debug")) sb_drop(verdict, "debug line");
  if (name == level && is(value, "fatal")) sb_emit(verdict, SB("alerts"), SB_ORIGINAL, true);
}

void sb_process(const sb_record *record, sb_verdict *verdict) {
  sb_bytes line = sb_payload(record);
  const uint8_t *end = line.at + line.len;
  bool any = false;
  for (const uint8_t *word = line.at; word < end;) {
    const uint8_t *stop = memchr(word, ' ', (size_t)(end - word));
    if (!stop) stop = end;
    const uint8_t *at = memchr(word, separator, (size_t)(stop - word));
    if (at && at > word) {
      any = true;
      pair((sb_bytes){word, (uint32_t)(at - word)}, (sb_bytes){at + 1, (uint32_t)(stop - at - 1)}, verdict);
    }
    word = stop + 1;
  }
  if (!any) sb_fail(verdict, "no key=value pair in the line");

  /* A field that the receiver set: `web-7` is node 7. */
  sb_bytes name = sb_text(record, host);
  for (uint32_t i = name.len; i-- > 0;)
    if (name.at[i] == '-') {
      sb_set(verdict, node, (sb_bytes){name.at + i + 1, name.len - i - 1});
      break;
    }
}
