"""What a Lance table consists of: by its manifest, without any library, or by Lance's own."""
