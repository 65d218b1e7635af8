package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// Digester is a writer that splits what is written into rows, by the format's own row ends
// and not by the writes' bounds, and digests them. It keeps no row: a row
// that spans writes is hashed as it comes.
type Digester struct {
	digest Digest
	bytes  int64
	binary bool

	part    xxh3.Hasher // the row begun in an earlier write
	partial bool

	// Binary rows.
	state  binaryState
	header [19]byte // also the lengths that span writes
	have   int
	skip   int64 // bytes of the header's extension or a field still to come
	fields int
}

type binaryState uint8

const (
	binHeader binaryState = iota
	binExtension
	binTuple
	binLength
	binField
	binEnd
)

// copySignature begins COPY's binary format (PostgreSQL documentation, COPY, "Binary Format").
const copySignature = "PGCOPY\n\xff\r\n\x00"

// NewDigester returns a digester of rows in the format.
func NewDigester(format string) *Digester {
	d := &Digester{binary: format != FormatText && format != FormatForeign}
	d.part.Reset()
	return d
}

// Write takes the next bytes of the stream. It fails only where a binary stream
// is malformed.
func (d *Digester) Write(p []byte) (int, error) {
	d.bytes += int64(len(p))
	if d.binary {
		return len(p), d.writeBinary(p)
	}
	d.writeText(p)
	return len(p), nil
}

func (d *Digester) writeText(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			d.begin(p)
			return
		}
		d.end(p[:i])
		p = p[i+1:]
	}
}

// begin keeps the hash of a row's beginning or middle.
func (d *Digester) begin(p []byte) {
	_, _ = d.part.Write(p)
	d.partial = true
}

// end adds a row whose last bytes are p.
func (d *Digester) end(p []byte) {
	if !d.partial {
		d.digest.AddRow(p)
		return
	}
	_, _ = d.part.Write(p)
	h := d.part.Sum128()
	d.part.Reset()
	d.partial = false
	d.digest.addHash(h)
}

// collect gathers n bytes into d.header across writes; it returns the rest of p
// and whether all n are there.
func (d *Digester) collect(p []byte, n int) ([]byte, bool) {
	k := copy(d.header[d.have:n], p)
	d.have += k
	if d.have < n {
		return nil, false
	}
	d.have = 0
	return p[k:], true
}

func (d *Digester) writeBinary(p []byte) error {
	row := p // begins at the current row's first byte in this write
	from := func(rest []byte) []byte { return row[:len(row)-len(rest)] }
	var ok bool
	for len(p) > 0 {
		switch d.state {
		case binHeader:
			if p, ok = d.collect(p, 19); !ok {
				return nil
			}
			if string(d.header[:11]) != copySignature {
				return errors.New("not COPY's binary format: the signature is missing")
			}
			d.skip = int64(binary.BigEndian.Uint32(d.header[15:]))
			d.state = binExtension
			if d.skip == 0 {
				d.state = binTuple
			}
			row = p
		case binExtension:
			n := min(int64(len(p)), d.skip)
			p, d.skip = p[n:], d.skip-n
			if d.skip == 0 {
				d.state = binTuple
			}
			row = p
		case binTuple:
			if d.have == 0 && !d.partial {
				// Rows that are whole in this write, which are almost all, need no state.
				p = d.wholeRows(p)
				row = p
				if len(p) == 0 {
					return nil
				}
			}
			if p, ok = d.collect(p, 2); !ok {
				break
			}
			n := int16(binary.BigEndian.Uint16(d.header[:2]))
			switch {
			case n == -1:
				d.state = binEnd
				d.part.Reset()
				d.partial = false
				row = p
				continue
			case n < 0:
				return fmt.Errorf("not COPY's binary format: a row of %d fields", n)
			case n == 0:
				d.end(from(p))
				row = p
				continue
			}
			d.fields = int(n)
			d.state = binLength
		case binLength:
			if p, ok = d.collect(p, 4); !ok {
				break
			}
			n := int32(binary.BigEndian.Uint32(d.header[:4]))
			if n < -1 {
				return fmt.Errorf("not COPY's binary format: a field of %d bytes", n)
			}
			d.skip = max(int64(n), 0)
			d.state = binField
		case binField:
			n := min(int64(len(p)), d.skip)
			p, d.skip = p[n:], d.skip-n
		case binEnd:
			return errors.New("not COPY's binary format: bytes follow its end")
		}
		if d.state == binField && d.skip == 0 {
			if d.fields--; d.fields > 0 {
				d.state = binLength
			} else {
				d.end(from(p))
				row = p
				d.state = binTuple
			}
		}
	}
	if len(row) > 0 && d.state != binEnd && d.state != binHeader && d.state != binExtension {
		d.begin(row)
	}
	return nil
}

// wholeRows adds the rows at the head of p that are whole and returns what follows them.
func (d *Digester) wholeRows(p []byte) []byte {
	for {
		if len(p) < 2 {
			return p
		}
		fields := int(int16(binary.BigEndian.Uint16(p)))
		if fields < 0 {
			return p
		}
		end := 2
		for range fields {
			if len(p)-end < 4 {
				return p
			}
			n := int32(binary.BigEndian.Uint32(p[end:]))
			end += 4
			if n > 0 {
				if int(n) > len(p)-end {
					return p
				}
				end += int(n)
			} else if n < -1 {
				return p // it is refused where it is read field by field
			}
		}
		d.digest.AddRow(p[:end])
		p = p[end:]
	}
}

// Close checks that the stream ended at a row's end. It returns an error that wraps
// io.ErrUnexpectedEOF where it didn't.
func (d *Digester) Close() error {
	if d.binary && d.state != binEnd {
		return fmt.Errorf("rows in binary format end before their trailer: %w", io.ErrUnexpectedEOF)
	}
	if d.partial {
		return fmt.Errorf("rows end in the middle of one: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

// Digest returns the digest of the rows so far.
func (d *Digester) Digest() Digest { return d.digest }

// Bytes returns how many bytes were written.
func (d *Digester) Bytes() int64 { return d.bytes }
