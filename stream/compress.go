package stream

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression names how an archive's data objects are compressed. Its values are
// pg_dump's words.
type Compression string

// The compressions.
const (
	Zstd Compression = "zstd"
	Gzip Compression = "gzip"
	None Compression = "none"
)

// Suffix is what the compression adds to an object's name; pg_restore goes by it.
func (c Compression) Suffix() string {
	switch c {
	case Zstd:
		return ".zst"
	case Gzip:
		return ".gz"
	}
	return ""
}

// Valid returns an error for a compression that pgmove doesn't know.
func (c Compression) Valid() error {
	switch c {
	case Zstd, Gzip, None:
		return nil
	}
	return fmt.Errorf("no such compression: %q (zstd, gzip and none are known)", string(c))
}

// zstdWindow bounds what a reader of our objects needs: 1 MiB, also the most
// that we accept from others' objects is zstdMaxWindow.
const (
	zstdWindow    = 1 << 20
	zstdMaxWindow = 128 << 20
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

func (c Compression) reader(r io.Reader) (io.ReadCloser, error) {
	switch c {
	case Zstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdMaxWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case Gzip:
		return gzip.NewReader(r)
	case None:
		return io.NopCloser(r), nil
	}
	return nil, c.Valid()
}

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }
