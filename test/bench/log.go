package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
)

// scanLog fails when the gateway's log speaks of a data race or a panic.
func scanLog(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		for _, bad := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
			if bytes.Contains(lines.Bytes(), []byte(bad)) {
				return fmt.Errorf("the gateway's log says %q:\n%s", bad, context3k(path, bad))
			}
		}
	}
	return lines.Err()
}

// context3k returns up to three thousand bytes of a file from where it first says text.
func context3k(path, text string) string {
	all, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	_, after, _ := strings.Cut(string(all), text)
	return text + after[:min(len(after), 3000)]
}

// tail returns the last two thousand bytes of a file.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}
