package mysession

import "strings"

// Token is one token of the server's SQL: a word, a number, a quoted name, a string, or a sign.
type Token struct {
	Kind TokenKind
	// Text is the token as it stands there; of a quoted name, and of a word, the name.
	Text string
	// From and To are its place in the text.
	From, To int
	// Depth counts the parentheses around it; those of a pair have the depth outside of them.
	Depth int
}

// TokenKind is a kind of token.
type TokenKind uint8

// The kinds of tokens.
const (
	Word TokenKind = iota + 1 // also numbers
	Name                      // in backticks
	String
	Sign
)

// Is reports whether the token is the word, in whatever case.
func (t Token) Is(word string) bool { return t.Kind == Word && strings.EqualFold(t.Text, word) }

// Sign reports whether the token is the sign.
func (t Token) sign(c byte) bool { return t.Kind == Sign && t.Text[0] == c }

// Tokens takes SQL apart that a server printed under the pinned settings: names in backticks, strings in
// which a backslash escapes. Comments are left out, but what stands in /*! … */, which servers run, is taken as
// if the comment weren't there. What is left open at the end ends there.
func Tokens(sql string) []Token {
	var out []Token
	depth := 0
	for i := 0; i < len(sql); {
		c, from := sql[i], i
		switch {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
			continue
		case c == '`':
			text, to := quotedName(sql, i)
			out = append(out, Token{Name, text, from, to, depth})
			i = to
		case c == '\'' || c == '"':
			i, _ = EndOfString(sql, i)
			out = append(out, Token{String, sql[from:i], from, i, depth})
		case strings.HasPrefix(sql[i:], "/*"):
			i = afterComment(sql, i)
		case strings.HasPrefix(sql[i:], "*/"):
			i += 2
		case strings.HasPrefix(sql[i:], "-- ") || c == '#':
			if n := strings.IndexByte(sql[i:], '\n'); n >= 0 {
				i += n
			} else {
				i = len(sql)
			}
		case wordByte(c):
			for i < len(sql) && wordByte(sql[i]) {
				i++
			}
			out = append(out, Token{Word, sql[from:i], from, i, depth})
		default:
			i++
			if c == ')' {
				depth--
			}
			out = append(out, Token{Sign, sql[from:i], from, i, depth})
			if c == '(' {
				depth++
			}
		}
	}
	return out
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// quotedName reads a name in backticks that begins at i; it returns the name and where it ends.
func quotedName(sql string, i int) (string, int) {
	var b strings.Builder
	for i++; i < len(sql); i++ {
		if sql[i] == '`' {
			if i+1 == len(sql) || sql[i+1] != '`' {
				return b.String(), i + 1
			}
			i++
		}
		b.WriteByte(sql[i])
	}
	return b.String(), len(sql)
}

// EndOfString returns where the string that begins at i ends, in a session in which a backslash escapes; false where it doesn't.
func EndOfString(sql string, i int) (int, bool) {
	quote := sql[i]
	for i++; i < len(sql); i++ {
		switch sql[i] {
		case '\\':
			i++
		case quote:
			if i+1 < len(sql) && sql[i+1] == quote {
				i++
				continue
			}
			return i + 1, true
		}
	}
	return len(sql), false
}

// afterComment returns where reading goes on after "/*" at i: after the comment, or within it.
func afterComment(sql string, i int) int {
	rest := sql[i+2:]
	run := strings.HasPrefix(rest, "!") || strings.HasPrefix(rest, "M!")
	if !run {
		if n := strings.Index(rest, "*/"); n >= 0 {
			return i + 2 + n + 2
		}
		return len(sql)
	}
	i += 2 + strings.IndexByte(rest, '!') + 1
	for i < len(sql) && sql[i] >= '0' && sql[i] <= '9' {
		i++
	}
	return i
}
