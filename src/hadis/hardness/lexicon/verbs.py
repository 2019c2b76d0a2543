"""Verbs that hold still, and so do not count as action."""

from typing import Final

from hadis.hardness.lexicon import lists

_STATIC: Final = """
    appear appears appeared appearing
    arrange arranges arranged arranging
    be am is are was were been being
    become becomes became becoming
    belong belongs belonged belonging
    call calls called calling
    can could may might must shall should will would
    color colors colored coloring colour colours coloured colouring
    compose composes composed composing
    consist consists consisted consisting
    contain contains contained containing
    cover covers covered covering
    create creates created creating
    depict depicts depicted depicting
    display displays displayed displaying
    do does did done doing
    draw draws drew drawn drawing
    exist exists existed existing
    face faces faced facing
    feature features featured featuring
    fill fills filled filling
    generate generates generated generating
    get gets got gotten getting
    give gives gave given giving
    hang hangs hung hanging
    have has had having
    illustrate illustrates illustrated illustrating
    imagine imagines imagined imagining
    include includes included including
    inspire inspires inspired inspiring
    keep keeps kept keeping
    lean leans leaned leaning
    let lets letting
    lie lies lay lain lying
    like likes liked liking
    locate locates located locating
    look looks looked looking
    make makes made making
    mount mounts mounted mounting
    name names named naming
    need needs needed needing
    paint paints painted painting
    picture pictures pictured picturing
    place places placed placing
    please pleases pleased pleasing
    portray portrays portrayed portraying
    position positions positioned positioning
    rest rests rested resting
    render renders rendered rendering
    remain remains remained remaining
    see sees saw seen seeing
    seem seems seemed seeming
    set sets setting
    show shows showed shown showing
    sit sits sat sitting
    situate situates situated situating
    stand stands stood standing
    stay stays stayed staying
    style styles styled styling
    surround surrounds surrounded surrounding
    top tops topped topping
    use uses used using
    want wants wanted wanting
    wear wears wore worn wearing
"""

STATIC: Final = lists.words(_STATIC)
"""Every form of verbs of being, showing, posture and picture making."""
