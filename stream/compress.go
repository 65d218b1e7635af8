package stream

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compression names how an archive's data objects are compressed. Its values are
// pg_dump's words.
type Compression string

// The compressions.
const (
	Zstd Compression = "zstd"
	Gzip Compression = "gzip"
	None Compression = "none"
	// Lz4 is read, in archives that pg_dump wrote, and never written.
	Lz4 Compression = "lz4"
)

// Suffix is what the compression adds to an object's name; pg_restore goes by it.
func (c Compression) Suffix() string {
	switch c {
	case Zstd:
		return ".zst"
	case Gzip:
		return ".gz"
	case Lz4:
		return ".lz4"
	}
	return ""
}

// Valid returns an error for a compression that pgmove doesn't write.
func (c Compression) Valid() error {
	switch c {
	case Zstd, Gzip, None:
		return nil
	}
	return fmt.Errorf("no such compression: %q (zstd, gzip and none are known)", string(c))
}

// zstdWindow is the window, in bytes, of the objects that we write; the others are the most that
// we accept: of our own, and of pg_dump's, whose users choose the level. A window is memory,
// which a forged object must not take.
const (
	zstdWindow        = 1 << 20
	zstdMaxWindow     = 8 << 20
	zstdForeignWindow = 128 << 20
)

func (c Compression) writer(w io.Writer) (io.WriteCloser, error) {
	switch c {
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(zstdWindow), zstd.WithEncoderConcurrency(1))
	case Gzip:
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case None:
		return nopWriteCloser{w}, nil
	}
	return nil, c.Valid()
}

// reader decompresses what r yields; window bounds zstd's, in bytes.
func (c Compression) reader(r io.Reader, window uint64) (io.ReadCloser, error) {
	switch c {
	case Zstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case Gzip:
		return gzip.NewReader(r)
	case Lz4:
		return io.NopCloser(lz4.NewReader(r)), nil
	case None:
		return io.NopCloser(r), nil
	}
	return nil, c.Valid()
}

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }
