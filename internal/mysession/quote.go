package mysession

import (
	"encoding/hex"
	"strings"
)

// Ident quotes an identifier for SQL.
func Ident(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// Idents quotes identifiers and joins them by commas.
func Idents[T ~string](names []T) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(Ident(string(n)))
	}
	return b.String()
}

// Literal quotes a string for SQL. It is the same text whether a backslash escapes or not: where there
// is one, or what is not plain text, the string is written in hexadecimal.
func Literal(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' || s[i] < ' ' || s[i] == 0x7f {
			return "_utf8mb4 " + Bytes(s)
		}
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// Bytes writes bytes for SQL, as a binary string.
func Bytes(s string) string { return "X'" + hex.EncodeToString([]byte(s)) + "'" }
