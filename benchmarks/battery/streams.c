/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of the draw as streams, for TestU01. Compiled and started by crush.py,
 * which gives the draw's constants and compares the words with the reference.
 *
 *   streams KIND ORDER SEED reversed|plain words COUNT          write words to stdout
 *   streams KIND ORDER SEED reversed|plain small|crush|big TEST run a test of a battery
 *
 * A block has LANES lanes of a few words: the key words of a chunk, 31 words made of
 * 32 places in the longest chunk, or the weight words of 32 rows. ORDER says what a
 * lane is: "chunks" are gone through one after the other, each with all its words;
 * "columns" and "seeds" are interleaved, one word of every lane in turn.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testu01/bbattery.h"
#include "testu01/unif01.h"

enum { LANES = 1024, PLACES = 32, KEY_WORDS = 2 + 2 * ROUNDS, MOST = 32 };
enum { MOST_TESTS = 200 }; /* more than a battery has */
enum { KEYS, PLACES_KIND, WEIGHTS };
enum { CHUNKS, COLUMNS, SEEDS };

typedef uint32_t lanes[LANES];

static int kind, order, reversed;
static uint64_t seed;
static lanes key0, key1, column, chunk;
static lanes words[MOST], a[ROUNDS], b[ROUNDS];
static uint32_t stream[MOST * LANES];
static uint64_t block;
static size_t filled, next;

static uint32_t rotate(uint32_t x, int r) { return x << r | x >> (32 - r); }

static void threefry(uint32_t pair, lanes out0, lanes out1) {
  static const int rotation[8] = {13, 15, 26, 6, 17, 29, 16, 24};
  for (int l = 0; l < LANES; l++) {
    uint32_t k[3] = {key0[l], key1[l], key0[l] ^ key1[l] ^ PARITY};
    uint32_t counter = kind == WEIGHTS ? pair : chunk[l] * STRIDE + pair;
    uint32_t x = column[l] + k[0], y = counter + k[1];
#pragma GCC unroll 20
    for (int r = 0; r < 20; r++) {
      x += y;
      y = rotate(y, rotation[r % 8]) ^ x;
      if (r % 4 == 3) {
        x += k[(r / 4 + 1) % 3];
        y += k[(r / 4 + 2) % 3] + r / 4 + 1;
      }
    }
    out0[l] = x;
    out1[l] = y;
  }
}

static int fill_keys(void) {
  for (int pair = 0; pair <= ROUNDS; pair++)
    threefry(pair, words[2 * pair], words[2 * pair + 1]);
  return KEY_WORDS;
}

/* 31-bit places: the 32nd of a lane gives the lowest bit of the 31 others. */
static int fill_places(void) {
  for (int r = 0; r < ROUNDS; r++) threefry(r + 1, a[r], b[r]);
  for (int t = 0; t < PLACES; t++)
    for (int l = 0; l < LANES; l++) {
      uint32_t x = t;
#pragma GCC unroll 16
      for (int r = 0; r < ROUNDS; r++) {
        x = (x * (a[r][l] | 1) + b[r][l]) & 0x7fffffffu;
        x ^= x >> (16 + r % 2);
      }
      words[t][l] = x;
    }
  for (int t = 0; t < PLACES - 1; t++)
    for (int l = 0; l < LANES; l++)
      words[t][l] = words[t][l] << 1 | (words[PLACES - 1][l] >> t & 1);
  return PLACES - 1;
}

static int fill_weights(void) {
  static lanes w0, w1;
  threefry(WEIGHT_PAIR, w0, w1);
  uint32_t group = (uint32_t)block % LANES * LANES;
  for (int t = 0; t < MOST; t++)
    for (int l = 0; l < LANES; l++) {
      uint32_t row = (order == CHUNKS ? group + l : (uint32_t)block) * MOST + t;
      uint32_t x = row ^ w0[l];
      x = (x ^ x >> S0) * M0;
      x = ((x ^ x >> S1) + w1[l]) * M1;
      x = (x ^ x >> S2) * M2;
      words[t][l] = x ^ x >> S3;
    }
  return MOST;
}

static uint32_t reverse(uint32_t x) {
  x = x >> 16 | x << 16;
  x = (x & 0xff00ff00u) >> 8 | (x & 0x00ff00ffu) << 8;
  x = (x & 0xf0f0f0f0u) >> 4 | (x & 0x0f0f0f0fu) << 4;
  x = (x & 0xccccccccu) >> 2 | (x & 0x33333333u) << 2;
  return (x & 0xaaaaaaaau) >> 1 | (x & 0x55555555u) << 1;
}

static void fill(void) {
  for (int l = 0; l < LANES; l++) {
    uint64_t s = seed + (order == SEEDS ? l : 0);
    key0[l] = (uint32_t)s;
    key1[l] = (uint32_t)(s >> 32);
    column[l] = order == COLUMNS ? l : block / LANES;
    chunk[l] = order == CHUNKS ? block % LANES * LANES + l
               : order == COLUMNS ? block : block % LANES;
  }
  if (kind == WEIGHTS && order == SEEDS) memset(column, 0, sizeof column);
  int n = kind == KEYS ? fill_keys() : kind == WEIGHTS ? fill_weights() : fill_places();
  filled = (size_t)n * LANES;
  for (int t = 0; t < n; t++)
    for (int l = 0; l < LANES; l++) {
      uint32_t x = reversed ? reverse(words[t][l]) : words[t][l];
      stream[order == CHUNKS ? l * n + t : t * LANES + l] = x;
    }
  block++;
  next = 0;
}

static unsigned int draw(void) {
  if (next == filled) fill();
  return stream[next++];
}

static int number(const char *name, const char *const names[3]) {
  for (int i = 0; i < 3; i++)
    if (strcmp(name, names[i]) == 0) return i;
  fprintf(stderr, "not known: %s\n", name);
  exit(2);
}

int main(int argc, char **argv) {
  static const char *const kinds[] = {"keys", "places", "weights"};
  static const char *const orders[] = {"chunks", "columns", "seeds"};
  static const char *const batteries[] = {"small", "crush", "big"};
  if (argc < 6) return 2;
  kind = number(argv[1], kinds);
  order = number(argv[2], orders);
  seed = strtoull(argv[3], NULL, 0);
  reversed = strcmp(argv[4], "reversed") == 0;
  if (strcmp(argv[5], "words") == 0) {
    for (long n = argc > 6 ? atol(argv[6]) : 1; n > 0; n--) {
      uint32_t word = draw();
      if (fwrite(&word, 4, 1, stdout) != 1) return 1;
    }
    return 0;
  }
  /* Of a battery, one test: its number is the last argument. */
  int battery = number(argv[5], batteries);
  int test = argc > 6 ? atoi(argv[6]) : 0;
  if (test < 1 || test >= MOST_TESTS) return 2;
  int repetitions[MOST_TESTS] = {0};
  repetitions[test] = 1;
  char name[80];
  snprintf(name, sizeof name, "%s over %s, %s", argv[1], argv[2], argv[4]);
  unif01_Gen *generator = unif01_CreateExternGenBits(name, draw);
  if (battery == 0) bbattery_RepeatSmallCrush(generator, repetitions);
  if (battery == 1) bbattery_RepeatCrush(generator, repetitions);
  if (battery == 2) bbattery_RepeatBigCrush(generator, repetitions);
  unif01_DeleteExternGenBits(generator);
  return 0;
}
