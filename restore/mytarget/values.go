package mytarget

import (
	"regexp"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
)

var (
	number     = regexp.MustCompile(`^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$|^0[xX][0-9a-fA-F]+$|^0b[01]+$`)
	introducer = regexp.MustCompile(`^(?:_[a-z0-9]+|[xXbBnN])$`) // of the string that follows
	charset    = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
)

// plainValues reports whether the text is lists of values in parentheses and nothing else: strings, numbers and NULL, and
// CONVERT('…' USING charset), by which mydumper writes JSON. The session's sql_mode is the pinned one: a backslash escapes.
func plainValues(sql string) bool {
	depth, lists, word := 0, 0, ""
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
			continue
		case c == '(' && (depth == 0 || depth == 1 && word == "CONVERT"):
			if depth == 0 {
				lists++
			}
			depth++
			i, word = i+1, ""
		case c == ')' && depth > 0:
			depth--
			i, word = i+1, ""
		case c == ',' && depth < 2:
			i, word = i+1, ""
		case (c == '\'' || c == '"') && depth > 0:
			end, ok := mysession.EndOfString(sql, i)
			if !ok {
				return false
			}
			i, word = end, ""
		case valueByte(c) && depth > 0:
			from := i
			for i < len(sql) && valueByte(sql[i]) {
				i++
			}
			text, before := sql[from:i], word
			word = strings.ToUpper(text)
			quote := i < len(sql) && (sql[i] == '\'' || sql[i] == '"')
			rest := strings.TrimLeft(sql[i:min(len(sql), i+8)], " ")
			switch {
			case before == "USING" && depth == 2 && charset.MatchString(text):
			case word == "NULL", word == "USING" && depth == 2, number.MatchString(text):
			case word == "CONVERT" && depth == 1 && strings.HasPrefix(rest, "("):
			case introducer.MatchString(text) && (quote || text[0] == '_' && rest != "" && strings.ContainsAny(rest[:1], `'"`)):
			case text[0] == '_' && introducer.MatchString(text) && (strings.HasPrefix(rest, "0x") || strings.HasPrefix(rest, "X'") || strings.HasPrefix(rest, "x'")):
			default:
				return false
			}
		default:
			return false
		}
	}
	return depth == 0 && lists > 0
}

func valueByte(c byte) bool {
	return c == '_' || c == '.' || c == '-' || c == '+' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
