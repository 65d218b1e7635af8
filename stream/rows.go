package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// RowWriter is a writer that splits what is written into rows and hands them on one by one, each
// as the bytes that a Digest's AddRow takes. It keeps the row that a write ends in: up to 1 GB in PostgreSQL.
type RowWriter struct {
	row    func(row []byte) error
	binary bool
	begun  bool // the binary header is over
	ended  bool // the binary trailer was there
	held   []byte
	digest Digester // checks the stream's form, and digests the rows on the way
}

// NewRowWriter returns a RowWriter of rows in the format. The slice that row gets is only lent. An error of row ends the writing.
func NewRowWriter(format string, row func(row []byte) error) *RowWriter {
	return &RowWriter{row: row, binary: format != FormatText, digest: *NewDigester(format)}
}

// Write takes the next bytes of the stream. It fails where a binary stream is malformed, and as row does.
func (r *RowWriter) Write(p []byte) (int, error) {
	if _, err := r.digest.Write(p); err != nil {
		return 0, err
	}
	all := p
	if len(r.held) > 0 {
		if len(r.held)+len(p) > largestRow {
			return 0, fmt.Errorf("%w: one of more than %d bytes", errRow, largestRow)
		}
		r.held = append(r.held, p...)
		if !r.binary && bytes.IndexByte(p, '\n') < 0 {
			return len(p), nil // and a long row isn't searched anew with each write
		}
		all = r.held
	}
	rest, err := r.rows(all)
	if err != nil {
		return 0, err
	}
	if len(r.held) > 0 {
		r.held = r.held[:copy(r.held, rest)]
		if len(r.held) == 0 && cap(r.held) > keptRow {
			r.held = nil
		}
	} else {
		r.held = append(r.held, rest...)
	}
	return len(p), nil
}

// keptRow is the size, in bytes, of the room for rows that is kept for the next.
const keptRow = 1 << 20

// largestRow is more, in bytes, than any row that a database sends.
const largestRow = 2 << 30

// rows hands on the rows that are whole in p, and returns what follows them.
func (r *RowWriter) rows(p []byte) ([]byte, error) {
	for len(p) > 0 {
		var n, end int
		if r.binary {
			if r.ended {
				return nil, nil // the digester has refused what may not follow
			}
			if !r.begun {
				if len(p) >= 19 && binary.BigEndian.Uint32(p[15:]) > keptRow {
					return nil, errors.New("not COPY's binary format: its header is too long")
				}
				if len(p) < 19 || len(p) < 19+int(binary.BigEndian.Uint32(p[15:])) {
					return p, nil
				}
				p, r.begun = p[19+int(binary.BigEndian.Uint32(p[15:])):], true
				continue
			}
			if n = binaryRow(p); n == 0 {
				r.ended = len(p) >= 2 && int16(binary.BigEndian.Uint16(p)) < 0
				return p, nil
			}
			end = n
		} else {
			if n = bytes.IndexByte(p, '\n'); n < 0 {
				return p, nil
			}
			end = n + 1
		}
		if err := r.row(p[:n]); err != nil {
			return nil, err
		}
		p = p[end:]
	}
	return nil, nil
}

// binaryRow returns the length of the row at the head of p, 0 where it isn't whole or is the trailer.
func binaryRow(p []byte) int {
	if len(p) < 2 {
		return 0
	}
	end := 2
	for range max(int(int16(binary.BigEndian.Uint16(p))), 0) {
		if len(p)-end < 4 {
			return 0
		}
		n := max(int(int32(binary.BigEndian.Uint32(p[end:]))), 0)
		if end += 4; n > len(p)-end {
			return 0
		}
		end += n
	}
	if int16(binary.BigEndian.Uint16(p)) < 0 {
		return 0
	}
	return end
}

// Close checks that the stream ended at a row's end, as Digester.Close does.
func (r *RowWriter) Close() error { return r.digest.Close() }

// Digest returns the digest of the rows so far; Bytes counts what was written.
func (r *RowWriter) Digest() Digest { return r.digest.Digest() }

// Bytes returns how many bytes were written.
func (r *RowWriter) Bytes() int64 { return r.digest.Bytes() }

var errRow = errors.New("not a row of the table")

// SplitRow returns a row's fields as the format writes them, nil for NULL. They are parts of row, appended to fields. A
// row of no fields can only be told from one of an empty field by who knows how many there are: columns.
func SplitRow(format string, row []byte, columns int, fields [][]byte) ([][]byte, error) {
	fields = fields[:0]
	if format != FormatText {
		if len(row) < 2 || binaryRow(row) != len(row) {
			return nil, errRow
		}
		at := 2
		for at < len(row) {
			n := int(int32(binary.BigEndian.Uint32(row[at:])))
			if at += 4; n < 0 {
				fields = append(fields, nil)
				continue
			}
			fields = append(fields, row[at:at+n:at+n])
			at += n
		}
	} else if columns > 0 {
		for more := true; more; {
			var f []byte
			f, row, more = bytes.Cut(row, []byte{'\t'})
			if string(f) == `\N` {
				f = nil
			} else if f == nil {
				f = []byte{}
			}
			fields = append(fields, f)
		}
	}
	if len(fields) != columns {
		return nil, fmt.Errorf("%w: it has %d fields instead of %d", errRow, len(fields), columns)
	}
	return fields, nil
}

// UnescapeText returns the value of a field of COPY's text format.
func UnescapeText(field []byte) []byte {
	if bytes.IndexByte(field, '\\') < 0 {
		return field
	}
	out := make([]byte, 0, len(field))
	for i := 0; i < len(field); i++ {
		c := field[i]
		if c == '\\' && i+1 < len(field) {
			i++
			switch c = field[i]; c {
			case '0':
				c = 0 // MySQL's; PostgreSQL has none
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'v':
				c = '\v'
			}
		}
		out = append(out, c)
	}
	return out
}

var _ io.WriteCloser = (*RowWriter)(nil)
