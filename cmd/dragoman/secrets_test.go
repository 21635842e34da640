package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheKeyFileIsMadeOnceAndRotated(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dragoman.yaml")
	if err := os.WriteFile(file, []byte("secrets: {key_file: keys.age, passphrase: 0123456789abcdef}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "keys.age")
	read := func() string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if out, code := commanded("secrets", "init", "-c", file); code != exitOK || !strings.Contains(out, "keep a copy") {
		t.Fatalf("secrets init prints %q and ends with %d", out, code)
	}
	first := read()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file is %v, %v", info.Mode(), err)
	}
	if out, code := commanded("secrets", "init", "-c", file); code != exitFailure || read() != first {
		t.Errorf("a second init prints %q and ends with %d", out, code)
	}
	if out, code := commanded("secrets", "rotate", "-c", file); code != exitOK || read() == first {
		t.Errorf("rotate prints %q and ends with %d", out, code)
	}
	if err := os.WriteFile(file, []byte("secrets: {key_file: keys.age, passphrase: another-passphrase}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rotated := read()
	if out, code := commanded("secrets", "rotate", "-c", file); code != exitFailure || !strings.Contains(out, "passphrase") || read() != rotated {
		t.Errorf("with another passphrase rotate prints %q and ends with %d", out, code)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := commanded("secrets", "init", "-c", file); code != exitUsage {
		t.Errorf("without a section it prints %q and ends with %d", out, code)
	}
}
