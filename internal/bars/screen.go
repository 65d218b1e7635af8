package bars

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// Screen is a terminal with a few lines at its end that are drawn anew again and again. What else is
// written to it appears above them. Its methods may be called from several goroutines.
type Screen struct {
	mu   sync.Mutex
	w    io.Writer
	last []string // what stands there
	cols int      // how wide the terminal was then
}

// NewScreen returns a Screen on a terminal, or on anything else that nothing will be drawn on.
func NewScreen(w io.Writer) *Screen { return &Screen{w: w} }

// Unwrap returns what is written to.
func (s *Screen) Unwrap() io.Writer { return s.w }

// Draw replaces the lines, on a terminal that is cols wide.
func (s *Screen) Draw(lines []string, cols int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	b.WriteString("\x1b[?25l")
	s.up(&b, cols)
	put(&b, lines)
	b.WriteString("\x1b[?25h")
	s.last, s.cols = lines, cols
	_, _ = s.w.Write(b.Bytes())
}

// put writes lines over what is there, and clears what stays below.
func put(b *bytes.Buffer, lines []string) {
	for _, l := range lines {
		b.WriteString(l + "\x1b[K\r\n")
	}
	b.WriteString("\x1b[J")
}

// up goes to where the lines begin. On a terminal that has become too narrow for them they were broken up, one
// way or another: they stay, and new ones begin below.
func (s *Screen) up(b *bytes.Buffer, cols int) {
	if cols < s.cols {
		for _, l := range s.last {
			if cells(bare(l)) >= cols {
				s.last = nil
				return
			}
		}
	}
	for range s.last {
		b.WriteString("\x1b[A")
	}
	b.WriteByte('\r')
}

// Write writes whole lines above the bars.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.last) == 0 {
		return s.w.Write(p)
	}
	var b bytes.Buffer
	s.up(&b, s.cols)
	b.WriteString("\x1b[J")
	b.WriteString(strings.ReplaceAll(strings.TrimSuffix(string(p), "\n"), "\n", "\r\n") + "\r\n")
	put(&b, s.last)
	_, err := s.w.Write(b.Bytes())
	return len(p), err
}

// Clear takes the lines away. What is written after it begins where they began.
func (s *Screen) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.last) == 0 {
		return
	}
	var b bytes.Buffer
	s.up(&b, s.cols)
	b.WriteString("\x1b[J")
	s.last = nil
	_, _ = s.w.Write(b.Bytes())
}

// Forget leaves the lines where they are: somebody else may have written since.
func (s *Screen) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = nil
}

// bare is a line without its colours.
func bare(l string) string {
	var b strings.Builder
	for {
		i := strings.Index(l, "\x1b[")
		if i < 0 {
			return b.String() + l
		}
		b.WriteString(l[:i])
		l = l[i+2:]
		j := strings.IndexByte(l, 'm')
		if j < 0 {
			return b.String()
		}
		l = l[j+1:]
	}
}
