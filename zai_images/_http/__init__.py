"""The one room that knows aiohttp's client."""
