package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/stream/blockpipe"
)

// A chunk of large objects travels as COPY's binary format of (oid, offset,
// piece) rows. A durable archive keeps each large object in a file of its own,
// as pg_dump does: blobWriter takes the rows apart, blobReader puts them
// together again.

// BlobKey is the object's name for a large object; pg_dump names it so too.
func BlobKey(oid uint32, c Compression) string {
	return fmt.Sprintf("blob_%d.dat%s", oid, c.Suffix())
}

// blobRow is the length of a row before its piece: field count, then length and
// value of the oid and the offset, then the piece's length.
const blobRow = 2 + 4 + 4 + 4 + 8 + 4

// blobWriter is an io.Writer that stores the large objects of a row stream.
type blobWriter struct {
	ctx context.Context
	w   *Writer
	rec *Record

	buf    []byte // bytes not yet taken apart
	header bool   // the stream's header is behind us
	ended  bool

	oid    uint32
	open   bool
	offset int64
	pw     *blockpipe.Writer
	m      *meter
	z      io.WriteCloser
	put    chan error
}

func (b *blobWriter) Write(p []byte) (int, error) {
	b.buf = append(b.buf, p...)
	for {
		n, err := b.step(b.buf)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return len(p), nil
		}
		b.buf = b.buf[:copy(b.buf, b.buf[n:])]
	}
}

// step handles one row at the head of p and returns its length, 0 where it isn't whole yet.
func (b *blobWriter) step(p []byte) (int, error) {
	if !b.header {
		if len(p) < 19 {
			return 0, nil
		}
		b.header = true
		return 19, nil
	}
	if len(p) < 2 || b.ended {
		return 0, nil
	}
	if int16(binary.BigEndian.Uint16(p)) == -1 {
		b.ended = true
		return 2, b.finish()
	}
	if len(p) < blobRow {
		return 0, nil
	}
	n := int64(int32(binary.BigEndian.Uint32(p[22:])))
	if n < 0 || n > BlobPiece {
		return 0, fmt.Errorf("a piece of a large object has %d bytes", n)
	}
	if int64(len(p)) < blobRow+n {
		return 0, nil
	}
	oid := binary.BigEndian.Uint32(p[6:])
	off := int64(binary.BigEndian.Uint64(p[14:]))
	return int(blobRow + n), b.piece(oid, off, p[blobRow:blobRow+n])
}

func (b *blobWriter) piece(oid uint32, off int64, p []byte) error {
	if !b.open || oid != b.oid {
		if err := b.finish(); err != nil {
			return err
		}
		if err := b.start(oid); err != nil {
			return err
		}
	}
	if off != b.offset {
		return fmt.Errorf("large object %d: a piece at %d where %d is next", oid, off, b.offset)
	}
	b.offset += int64(len(p))
	_, err := b.z.Write(p)
	return err
}

func (b *blobWriter) start(oid uint32) error {
	pr, pw := blockpipe.New(pipeBlocks, pipeBlock)
	b.oid, b.open, b.offset, b.pw, b.m = oid, true, 0, pw, newMeter(pw)
	b.put = make(chan error, 1)
	key := BlobKey(oid, b.w.header.Compression)
	go func(put chan<- error) {
		err := b.w.store.Put(b.ctx, key, pr)
		_ = pr.CloseWithError(err)
		put <- err
	}(b.put)
	var err error
	b.z, err = b.w.header.Compression.writer(b.m)
	return err
}

// finish completes the object that is open.
func (b *blobWriter) finish() error {
	if !b.open {
		return nil
	}
	b.open = false
	err := b.z.Close()
	if cerr := b.pw.CloseWithError(err); err == nil {
		err = cerr
	}
	if perr := <-b.put; err == nil {
		err = perr
	}
	if err != nil {
		return err
	}
	b.rec.Objects = append(b.rec.Objects, b.m.object(BlobKey(b.oid, b.w.header.Compression)))
	return nil
}

// close ends the stream; cause is why, nil for its proper end.
func (b *blobWriter) close(cause error) error {
	if b.open {
		_ = b.pw.CloseWithError(errors.Join(cause, io.ErrUnexpectedEOF))
		b.open = false
		if err := <-b.put; err != nil && cause == nil {
			return err
		}
	}
	if cause == nil && !b.ended {
		return fmt.Errorf("large objects end before their trailer: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

// blobReader yields the row stream of a chunk's large objects.
type blobReader struct {
	ctx     context.Context
	r       *Reader
	objects []stored
	buf     bytes.Buffer
	cur     *objectReader
	oid     uint32
	offset  int64
	begun   bool
	ended   bool
	piece   []byte
}

func (b *blobReader) Read(p []byte) (int, error) {
	for b.buf.Len() == 0 {
		if b.ended {
			return 0, io.EOF
		}
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	return b.buf.Read(p)
}

// fill puts the next piece into the buffer.
func (b *blobReader) fill() error {
	if !b.begun {
		b.begun = true
		b.piece = make([]byte, BlobPiece)
		b.buf.WriteString(copySignature)
		b.buf.Write(make([]byte, 8))
	}
	first := false
	if b.cur == nil {
		if len(b.objects) == 0 {
			b.buf.Write([]byte{0xff, 0xff})
			b.ended = true
			return nil
		}
		o := b.objects[0]
		b.oid = o.blob
		var err error
		if b.cur, err = b.r.openObject(b.ctx, o); err != nil {
			return err
		}
		b.objects, b.offset, first = b.objects[1:], 0, true
	}
	n, err := io.ReadFull(b.cur, b.piece)
	if n > 0 || (first && errors.Is(err, io.EOF)) {
		b.row(b.piece[:n])
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && b.cur.ended:
		err = b.cur.verify()
		_ = b.cur.Close()
		b.cur = nil
		return err
	}
	return err
}

func (b *blobReader) row(piece []byte) {
	var h [blobRow]byte
	binary.BigEndian.PutUint16(h[0:], 3)
	binary.BigEndian.PutUint32(h[2:], 4)
	binary.BigEndian.PutUint32(h[6:], b.oid)
	binary.BigEndian.PutUint32(h[10:], 8)
	binary.BigEndian.PutUint64(h[14:], uint64(b.offset))
	binary.BigEndian.PutUint32(h[22:], uint32(len(piece)))
	b.buf.Write(h[:])
	b.buf.Write(piece)
	b.offset += int64(len(piece))
}

func (b *blobReader) Close() error {
	if b.cur != nil {
		return b.cur.Close()
	}
	return nil
}

func blobOID(key string) (uint32, error) {
	name, _, _ := strings.Cut(key, ".dat")
	digits, ok := strings.CutPrefix(name, "blob_")
	oid, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil {
		return 0, errors.New("not the name of a large object")
	}
	return uint32(oid), nil
}

// BlobScanner takes a row stream of large objects apart.
type BlobScanner struct {
	r     io.Reader
	begun bool
	piece []byte
}

// NewBlobScanner returns a scanner of r.
func NewBlobScanner(r io.Reader) *BlobScanner { return &BlobScanner{r: r} }

// Next returns the next piece, good until the next call; io.EOF after the last one.
func (b *BlobScanner) Next() (oid uint32, offset int64, piece []byte, err error) {
	var h [blobRow]byte
	if !b.begun {
		if _, err := io.ReadFull(b.r, h[:19]); err != nil {
			return 0, 0, nil, unexpected(err)
		}
		if string(h[:11]) != copySignature {
			return 0, 0, nil, errors.New("large objects: the signature is missing")
		}
		b.begun = true
	}
	if _, err := io.ReadFull(b.r, h[:2]); err != nil {
		return 0, 0, nil, unexpected(err)
	}
	switch int16(binary.BigEndian.Uint16(h[:])) {
	case -1:
		return 0, 0, nil, io.EOF
	case 3:
	default:
		return 0, 0, nil, errors.New("large objects: a row that is not one of three fields")
	}
	if _, err := io.ReadFull(b.r, h[2:]); err != nil {
		return 0, 0, nil, unexpected(err)
	}
	n := int32(binary.BigEndian.Uint32(h[22:]))
	if n < 0 || n > BlobPiece {
		return 0, 0, nil, fmt.Errorf("large objects: a piece of %d bytes", n)
	}
	if cap(b.piece) < int(n) {
		b.piece = make([]byte, BlobPiece)
	}
	b.piece = b.piece[:n]
	if _, err := io.ReadFull(b.r, b.piece); err != nil {
		return 0, 0, nil, unexpected(err)
	}
	return binary.BigEndian.Uint32(h[6:]), int64(binary.BigEndian.Uint64(h[14:])), b.piece, nil
}

// unexpected makes an early end an error that nobody takes for the proper one.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
