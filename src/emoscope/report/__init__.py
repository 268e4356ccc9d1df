"""Results for people to read: :mod:`.page` as HTML, :mod:`.summary` in sentences, :mod:`.plots`."""
