package myarchive

import "strings"

// words returns what stands in SQL outside of quotes: words and names in backticks with what follows them at once, a
// parenthesis or a dot. Comments are left out, but what servers run of them. ok is false where a quote or comment stays open.
//
// It takes backslashes for what they are under the settings that tables and rows are restored under.
func words(sql string) (list []word, ok bool) {
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == '\'' || c == '"' || c == '`':
			end := endOfQuote(sql, i)
			if end < 0 {
				return nil, false
			}
			if c == '`' {
				list = append(list, word{after: after(sql, end)})
			}
			i = end
		case strings.HasPrefix(sql[i:], "/*!"), strings.HasPrefix(sql[i:], "/*M!"):
			i += strings.IndexByte(sql[i:], '!') + 1
			for i < len(sql) && sql[i] >= '0' && sql[i] <= '9' {
				i++
			}
		case strings.HasPrefix(sql[i:], "*/"):
			i += 2
		case strings.HasPrefix(sql[i:], "/*"), c == '#', strings.HasPrefix(sql[i:], "--"):
			return nil, false // servers print none
		case wordByte(c):
			from := i
			for i < len(sql) && wordByte(sql[i]) {
				i++
			}
			list = append(list, word{strings.ToUpper(sql[from:i]), after(sql, i)})
		default:
			i++
		}
	}
	return list, true
}

// word is one of them; text is "" for a name in backticks.
type word struct {
	text  string
	after byte // the sign that follows, 0 at the end
}

func after(sql string, i int) byte {
	if rest := strings.TrimLeft(sql[i:], " \t\r\n"); rest != "" {
		return rest[0]
	}
	return 0
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c == '@' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// endOfQuote returns where what is quoted from i on ends, and -1 where it doesn't.
func endOfQuote(sql string, i int) int {
	quote := sql[i]
	for i++; i < len(sql); i++ {
		switch {
		case sql[i] == '\\' && quote != '`':
			i++
		case sql[i] == quote && i+1 < len(sql) && sql[i+1] == quote:
			i++
		case sql[i] == quote:
			return i + 1
		}
	}
	return -1
}
