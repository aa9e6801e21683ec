/* The floor under a relay's work on one packet: docs/spec/packet.md §4, on libsodium.
 *
 * The same cryptographic operations on the same sizes as shoal_protocol.packets.unwrap, in a
 * loop inside one call. What it leaves out is no cryptography: the replay filter and the
 * checks of fixed bytes. Its result is compared with Python's byte for byte.
 *
 *     cc -O3 -shared -fPIC unwrap.c -lsodium
 */

#include <sodium.h>
#include <stdint.h>
#include <string.h>

enum {
    CLEAR = 8, CIPHERTEXT = 32, MAC = 16, SLOT = 72, SLOTS = 5 * SLOT, STREAM = SLOTS + SLOT,
    HEADER = CLEAR + CIPHERTEXT + MAC + SLOTS, PACKET = 3072, PAYLOAD = PACKET - HEADER,
    LEFT = 32, RIGHT = PAYLOAD - LEFT,
    MAC_KEY = 0, LIONESS_KEY = 48, SLOTS_STREAM = 176, DERIVED = SLOTS_STREAM + STREAM
};

static const uint8_t zero_nonce[12];
static const uint8_t person[16] = "shoal packet";
static const uint8_t salt[16];

static void xor32(uint8_t *out, const uint8_t *a, const uint8_t *b)
{
    for (int i = 0; i < LEFT; i++)
        out[i] = a[i] ^ b[i];
}

static void stream_round(uint8_t *right, const uint8_t *left, const uint8_t *key)
{
    uint8_t round_key[32];
    xor32(round_key, left, key);
    crypto_stream_chacha20_ietf_xor_ic(right, right, RIGHT, zero_nonce, 1, round_key);
}

static void hash_round(uint8_t *left, const uint8_t *right, const uint8_t *key)
{
    uint8_t hash[32];
    crypto_generichash_blake2b(hash, sizeof hash, right, RIGHT, key, 32);
    xor32(left, left, hash);
}

/* Unwrap one FORWARD packet into out; 0 when it holds. */
static int unwrap(uint8_t *out, const uint8_t *packet, const uint8_t *private_key,
                  const uint8_t *binding)
{
    uint8_t bound[96], seed[32], stream[DERIVED], authentic[HEADER - MAC], mac[MAC];
    uint8_t opened[STREAM];
    const uint8_t *key = stream + LIONESS_KEY;

    if (crypto_scalarmult(bound, private_key, packet + CLEAR) != 0)
        return -1;
    memcpy(bound + 32, packet + CLEAR, 32);
    memcpy(bound + 64, binding, 32);
    crypto_generichash_blake2b_salt_personal(seed, 32, bound, 96, NULL, 0, salt, person);
    memset(stream, 0, DERIVED);
    crypto_stream_chacha20_ietf_xor_ic(stream, stream, DERIVED, zero_nonce, 1, seed);

    memcpy(authentic, packet, CLEAR + CIPHERTEXT);
    memcpy(authentic + CLEAR + CIPHERTEXT, packet + HEADER - SLOTS, SLOTS);
    crypto_generichash_blake2b(mac, MAC, authentic, sizeof authentic, stream + MAC_KEY, 32);
    if (sodium_memcmp(mac, packet + CLEAR + CIPHERTEXT, MAC) != 0)
        return -1;

    memcpy(opened, stream + SLOTS_STREAM, STREAM);
    for (int i = 0; i < SLOTS; i++)
        opened[i] ^= packet[HEADER - SLOTS + i];
    memset(out, 0, CLEAR);
    out[0] = packet[0];
    out[1] = opened[1];
    memcpy(out + CLEAR, opened + 40, CIPHERTEXT);
    memcpy(out + CLEAR + CIPHERTEXT, opened + 24, MAC);
    memcpy(out + HEADER - SLOTS, opened + SLOT, SLOTS);

    uint8_t *left = out + HEADER, *right = left + LEFT;
    memcpy(left, packet + HEADER, PAYLOAD);
    hash_round(left, right, key + 96);
    stream_round(right, left, key + 64);
    hash_round(left, right, key + 32);
    stream_round(right, left, key);
    return 0;
}

/* Unwrap count packets that lie behind each other into out; 0 when all hold. */
int shoal_floor_unwrap(uint8_t *out, const uint8_t *packets, size_t count,
                       const uint8_t *private_key, const uint8_t *binding)
{
    if (sodium_init() < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (unwrap(out + i * PACKET, packets + i * PACKET, private_key, binding) != 0)
            return -1;
    return 0;
}
