"""Words for what cannot be seen, and concrete words that look as if they were such."""

from typing import Final

from hadis.hardness.lexicon import lists

ABSTRACT: Final = lists.words(
    """
    absurd admiration advice afterlife aggression agony alienation ambition anarchy anger
    anguish anticipation anxiety apathy ascension awe beauty belief betrayal blame bliss bravery
    calm capitalism causality chaos charm choice compassion complexity conflict confusion
    conscience contempt contrast courage creation creativity cruelty culture curiosity curse
    danger death decay deceit defeat delight delusion democracy depression desire despair
    destiny dignity dimension disappointment disaster discipline disgust divine divinity doom
    doubt dread dream dreams dreamy duality duty dystopia dystopian economy ecstasy education
    effort ego elegance elegant embarrassment emotion emotional emotions empathy emptiness
    energy enigma enlightenment entropy envy epic epiphany essence eternal eternity ethereal
    ethics euphoria evil evolution excitement existence existential failure fairness faith fame
    fantasy fate fear feeling feelings forever forgiveness fortune freedom friendship
    frustration fury future futuristic generosity genius ghostly glory good goodness grace
    gratitude greed grief growth guilt happiness harmony hate hatred heaven hell heroism history
    honesty honor honour hope humanity humility humor humour hunger hypnotic hypothesis idea
    ideal idealism ideas identity ideology imaginary imagination impermanence impossible
    independence infinite infinity influence innocence insanity insight inspiration instinct
    integrity intelligence intimacy introspection intuition irony isolation jealousy joy justice
    karma kindness knowledge labor labour laughter law liberty lie life limbo logic loneliness
    longing loss love loyalty luck lust luxury madness magic majestic malice math mathematics
    meaning meditation melancholy memories memory mercy metaphor metaphysical mind miracle
    misery mood morality mortality music mystery mystic mystical myth mythical mythology
    narrative nature nightmare nostalgia nostalgic nothing nothingness oblivion obsession
    opinion opportunity oppression optimism origin pain panic paradise paradox passion patience
    patriotism peace perception perfection pessimism philosophy physics pity pleasure poetic
    poetry politics possibility poverty power prayer prejudice presence pride privacy problem
    progress promise prophecy prosperity psyche psychedelic psychology punishment purity purpose
    quantum quiet rage rationality realism reality reason rebellion rebirth redemption regret
    reincarnation relaxation religion remorse revenge reverence revolution rhythm romance
    romantic sacrifice sadness safety salvation sanity sarcasm science self sense serene
    serenity shame silence sin sincerity skill solitude sorrow soul souls spirit spirits
    spiritual spirituality spontaneity stillness story strength stress struggle sublime success
    suffering surreal surrealism surrealist suspense symbolic symbolism sympathy tale talent
    temptation tension terror theory thought thoughts time timeless tragedy tranquility
    transcendence transcendent transience treason trust truth turmoil uncertainty unconscious
    unity universe utopia utopian vanity vengeance vibe vibes vice victory virtue vision void
    vulnerability war wealth wisdom wonder worry wrath youth zeal zen
    """
)
"""Nouns and adjectives for feelings, ideas, states and qualities."""

SUFFIXES: Final = (
    "acy", "ance", "ancy", "dom", "ence", "ency", "hood", "ism", "ity", "logy", "ment", "ness",
    "osis", "ship", "sion", "tion", "tude",
)  # fmt: skip
"""Endings of abstract nouns; a noun that ends so counts unless it is short or in `CONCRETE`."""

SHORTEST: Final = 6  # letters; shorter nouns with such endings are mostly things: city, fence

CONCRETE: Final = lists.words(
    """
    airship ambulance ammunition apartment appliance armament attachment audience baroness
    basement battlement battleship carnation casement cavity celebrity cement collection
    community compartment competition condiment conference confluence congregation constellation
    construction conveyance countenance currency decoration delegation department document
    embankment encampment entrance environment equipment eruption escarpment establishment
    excavation exhibition explosion extremity facility filament firmament flagship formation
    fortification foundation fragment garment governess government gunship harness implement
    installation instrument intersection junction kingdom ligament lioness longship lotion
    mansion mechanism monument nation nativity neighborhood neighbourhood ointment organism
    ornament parchment parliament pavement pediment pigment plantation population potion
    procession projection radiation raiment reflection refreshment regiment residence schism
    section sediment segment settlement spaceship starship station steamship television tenement
    tournament township undergarment university vegetation vestment vicinity warship wilderness
    witness
    """
)
"""Things one can see although their names end like abstract nouns."""
