package stream

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// Digest is the number of rows and the sum, modulo 2^128, of the rows' 128-bit
// XXH3 hashes. It doesn't depend on the rows' order, and the digests of a table's chunks
// add up to the table's. A sum, not an exclusive or: two equal rows must not cancel.
type Digest struct {
	Rows int64
	// Sum is the 128-bit sum, low half first.
	Sum [2]uint64
}

// AddRow adds one row, given as the bytes COPY sent for it without the row's end.
func (d *Digest) AddRow(row []byte) {
	d.addHash(xxh3.Hash128(row))
}

func (d *Digest) addHash(h xxh3.Uint128) {
	d.Add(Digest{Rows: 1, Sum: [2]uint64{h.Lo, h.Hi}})
}

// Add adds all rows of o.
func (d *Digest) Add(o Digest) {
	d.Rows += o.Rows
	var carry uint64
	d.Sum[0], carry = bits.Add64(d.Sum[0], o.Sum[0], 0)
	d.Sum[1], _ = bits.Add64(d.Sum[1], o.Sum[1], carry)
}

// String is the digest's text form: rows, a colon and the sum as 32 hexadecimal
// digits, high half first.
func (d Digest) String() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], d.Sum[1])
	binary.BigEndian.PutUint64(b[8:], d.Sum[0])
	return fmt.Sprintf("%d:%s", d.Rows, hex.EncodeToString(b[:]))
}

// MarshalText writes the text form.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the text form, and nothing that is written otherwise.
func (d *Digest) UnmarshalText(text []byte) error {
	bad := fmt.Errorf("not a digest: %.60q", text)
	rows, sum, _ := strings.Cut(string(text), ":")
	n, err := strconv.ParseInt(rows, 10, 64)
	if err != nil || n < 0 {
		return bad
	}
	b, err := hex.DecodeString(sum)
	if err != nil || len(b) != 16 {
		return bad
	}
	got := Digest{Rows: n, Sum: [2]uint64{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[:8])}}
	if got.String() != string(text) {
		return bad
	}
	*d = got
	return nil
}
