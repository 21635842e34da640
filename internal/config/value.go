package config

import "github.com/dragoman-mcp/dragoman/internal/config/strict"

// Size is a number of bytes. In the file it is a number, or a number with a unit: K, M, G, T and KiB, MiB, GiB, TiB
// count in steps of 1024; KB, MB, GB, TB in steps of 1000.
type Size = strict.Size

// Secret is a text that must not be shown. Every way of printing or encoding it gives [redacted]; only Reveal gives the
// text, so a search for Reveal finds each place where a secret leaves.
type Secret = strict.Secret
