package stream

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Text is a string in the source database's encoding, which need not be UTF-8.
// Its JSON form is a plain string where the bytes are UTF-8; else a string that
// begins with NUL (which no database string holds) followed by the bytes in base64.
type Text string

// MarshalJSON keeps every byte; see Text.
func (t Text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) && !strings.HasPrefix(string(t), "\x00") {
		return json.Marshal(string(t))
	}
	return json.Marshal("\x00" + base64.StdEncoding.EncodeToString([]byte(t)))
}

// UnmarshalJSON reads either form.
func (t *Text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	rest, coded := strings.CutPrefix(s, "\x00")
	if !coded {
		*t = Text(s)
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return fmt.Errorf("a string that is not UTF-8 is not in base64 either: %w", err)
	}
	*t = Text(raw)
	return nil
}

// Display returns the text for a person to read: on one line, printable, valid
// UTF-8, with all else escaped as \n or \xNN.
func (t Text) Display() string {
	s := string(t)
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || !printable(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case !printable(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// printable reports whether r may stand in a line on a terminal: no control
// characters, which could hide or rewrite what stands there, and no marks that
// turn the direction of the text.
func printable(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x61c, r == 0x2028, r == 0x2029,
		r >= 0x200e && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return false
	}
	return true
}

// First joins the first of names that can be shown, ten at the most, and says how many more there are.
func First(names []string) string {
	const shown = 10
	if n := len(names) - shown; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), n)
	}
	return strings.Join(names, ", ")
}
